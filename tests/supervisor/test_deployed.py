"""What is deployed, and what was before: one whole record, whatever happens while it is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests import killed
from toolkit.errors import ServiceError
from toolkit.store import durable
from toolkit.store.artifact import Key, Store
from toolkit.supervisor import deployed
from toolkit.supervisor.deployed import DEPLOYED_FILE, FP32, Deployed, Target
from toolkit.supervisor.settings import Settings

SETTINGS = Settings("127.0.0.1", 1, 2, replicas=2)
ONE, TWO, THREE = (Target(f"/r/ocr-{number}", SETTINGS) for number in (1, 2, 3))


def test_the_release_before_is_known_and_returned_to(tmp_path: Path) -> None:
    deployed.record(tmp_path, ONE)
    assert deployed.read(tmp_path) == Deployed(ONE)
    deployed.record(tmp_path, TWO)
    assert deployed.read(tmp_path) == Deployed(TWO, ONE)
    deployed.record(tmp_path, ONE)
    assert deployed.read(tmp_path) == Deployed(ONE, TWO)


def test_a_variant_is_no_other_release_and_is_what_one_returns_to(tmp_path: Path) -> None:
    in_fp32 = replace(TWO, variant=FP32)
    for target in (ONE, TWO, in_fp32):
        deployed.record(tmp_path, target)
    assert deployed.read(tmp_path) == Deployed(in_fp32, ONE)
    deployed.record(tmp_path, THREE)
    assert deployed.read(tmp_path) == Deployed(THREE, in_fp32)


def test_the_record_is_the_old_or_the_new_whichever_step_the_service_is_killed_at(tmp_path: Path) -> None:
    def reset() -> None:
        (tmp_path / DEPLOYED_FILE).unlink(missing_ok=True)
        deployed.record(tmp_path, ONE)
        deployed.record(tmp_path, TWO)

    reset()
    seen = []
    for _ in killed.at_every_line(durable, lambda: deployed.record(tmp_path, THREE)):
        seen.append(deployed.read(tmp_path))
        reset()
    assert {item.now for item in seen if item} == {TWO, THREE}
    assert all(item in (Deployed(TWO, ONE), Deployed(THREE, TWO)) for item in seen)
    assert len(seen) > 5


def test_no_record_and_a_broken_one_are_none(tmp_path: Path) -> None:
    for text in ("", "{", "[]", '{"now": {}}', '{"now": {"release": "/r"}, "before": null}'):
        (tmp_path / DEPLOYED_FILE).write_text(text)
        assert deployed.read(tmp_path) is None


def test_a_variant_lies_in_its_release_and_has_to_be_there(tmp_path: Path) -> None:
    target = Target(str(tmp_path / "ocr-1"), SETTINGS)
    in_fp32 = replace(target, variant=FP32)
    assert (target.directory, target.label) == (tmp_path / "ocr-1", "ocr-1")
    assert (in_fp32.directory, in_fp32.label) == (tmp_path / "ocr-1" / "fp32", "ocr-1 in FP32")
    with pytest.raises(ServiceError, match="ocr-1 is not there"):
        target.check()
    (tmp_path / "ocr-1").mkdir()
    target.verify()
    with pytest.raises(ServiceError, match="has no FP32") as caught:
        in_fp32.verify()
    assert "may be FP32 already" in str(caught.value)


def test_a_release_of_which_a_file_was_changed_is_refused_by_the_names_of_the_files(tmp_path: Path) -> None:
    def build(directory: Path) -> dict[str, str]:
        (directory / "release.yml").write_text("name: ocr")
        (directory / "weights").write_bytes(bytes(1000))
        return {}

    made = Store(tmp_path).build(Key("render", "ocr", {}), build).path
    target = Target(str(made), SETTINGS)
    target.verify()
    (made / "weights").write_bytes(bytes(999) + b"1")
    (made / "more").touch()
    with pytest.raises(ServiceError, match="has been changed since it was built: more, weights"):
        target.verify()
