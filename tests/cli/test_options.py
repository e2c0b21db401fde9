from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Optional

import pytest

from tests.spec.test_load import SPEC, pipeline_folder
from toolkit.cli.options import context_of, settings_given
from toolkit.supervisor.settings import Settings


def test_options_that_are_given_replace_what_was_recorded_and_others_do_not() -> None:
    recorded = Settings("0.0.0.0", 80, 81, 3, keys_file="/old", tls_cert="/cert", tls_key="/key")
    given = Settings("127.0.0.1", 9393, 9394, None, keys_file="/new")
    assert settings_given(given, recorded, {"model", "build", "http_port", "api_keys"}) == Settings(
        "0.0.0.0", 9393, 81, 3, keys_file="/new", tls_cert="/cert", tls_key="/key"
    )
    assert settings_given(given, recorded, set()) == recorded


@pytest.mark.parametrize(
    ("data", "agreement", "judge"),
    [
        (None, {"kind": "top1", "path": "classes.id"}, "agreement"),
        (Path("images"), {"kind": "top1", "path": "classes.id"}, "ops:Judge"),
        # Nothing says what of answers would have to agree.
        (None, None, "ops:Judge"),
    ],
)
def test_what_stands_in_for_data_has_no_labels_that_could_judge(
    data: Optional[Path], agreement: Optional[dict[str, str]], judge: str, tmp_path: Path
) -> None:
    folder = pipeline_folder(tmp_path)
    known: dict[str, Any] = {**SPEC, "data": {**SPEC["data"], "placeholder": True}}
    if agreement is not None:
        known["agreement"] = agreement
    (folder / "tiny" / "pipeline.yml").write_text(json.dumps(known))
    spec = context_of("tiny", folder, tmp_path / "build", False, False, data).spec
    assert (spec.judge, spec.models["net"].judge) == (judge, judge)
    assert spec.directory == (folder / "tiny").resolve()
