from __future__ import annotations

from pathlib import Path

import numpy as np

from toolkit import pipeline, spec

PIPELINES = Path(__file__).parents[3] / "pipelines"


def test_weights_are_random_until_the_user_names_some() -> None:
    source = spec.load(PIPELINES, "resnet50").models["net"].source
    assert source.has_random_weights
    assert not source.model_copy(update={"weights": "mine.pdparams"}).has_random_weights


def test_logits_become_the_likeliest_classes_by_number() -> None:
    plan = spec.load(PIPELINES, "resnet50")
    step = pipeline.resolve(PIPELINES / "resnet50", plan.models["net"].step)(plan.models["net"].options)
    logits = np.zeros((1, 1000), np.float32)
    logits[0, 7] = 10
    payload = step.postprocess({}, [{"scores": logits}])
    found = pipeline.resolve(PIPELINES / "resnet50", plan.response)(payload)["classes"]
    assert (found[0]["id"], found[0]["name"], len(found)) == (7, "7", 5)
    assert 0.9 < found[0]["score"] < 1
