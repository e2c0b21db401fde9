"""The JSON schema of `pipeline.yml`, for editors; generated, and kept in the repository."""

from __future__ import annotations

import json
from pathlib import Path

from toolkit.spec.pipeline import PipelineSpec

SCHEMA_FILE = Path(__file__).with_name("pipeline.schema.json")


def schema() -> str:
    """The schema as JSON text."""
    data = PipelineSpec.model_json_schema()
    data["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    data["title"] = "Pipeline spec"
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def write() -> Path:
    """Write the schema into the repository."""
    SCHEMA_FILE.write_text(schema(), encoding="utf-8")
    return SCHEMA_FILE
