from __future__ import annotations

from dataclasses import replace

from tests.gateway.desk import MODEL, PIPELINE
from toolkit.gateway import oip_meta


def test_a_model_names_the_engine_that_runs_it() -> None:
    entries = (PIPELINE, MODEL, replace(MODEL, engine="openvino"))
    platforms = [oip_meta.model(item)["platform"] for item in entries]
    assert platforms == ["paddle_serving_pipeline", "paddle_inference", "openvino"]
