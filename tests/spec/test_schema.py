from __future__ import annotations

import json
from pathlib import Path

import pytest

from toolkit.spec import schema


def test_the_schema_in_the_repository_is_that_of_the_code() -> None:
    assert schema.SCHEMA_FILE.read_text(encoding="utf-8") == schema.schema(), "run `make schema`"


def test_the_schema_closes_every_section_to_unknown_keys() -> None:
    data = json.loads(schema.schema())
    assert data["additionalProperties"] is False
    assert all(section["additionalProperties"] is False for section in data["$defs"].values())


def test_writing_the_schema_replaces_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "SCHEMA_FILE", tmp_path / "schema.json")
    assert schema.write().read_text(encoding="utf-8") == schema.schema()
