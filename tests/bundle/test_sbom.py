from __future__ import annotations

import json
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from toolkit import lockfile
from toolkit.bundle import sbom

ROOT = Path(__file__).resolve().parents[2]
MODEL = sbom.Model("det", "release/models/det", "int8", "ab" * 32, "cd" * 32)


def test_it_is_valid_and_names_every_package_and_model() -> None:
    pinned = {name: item.version for name, item in lockfile.read(ROOT / "requirements.lock").items()}
    text = sbom.text("ocr", "1.4.0", pinned, [MODEL])
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    document = json.loads(text)
    purls = {item["purl"] for item in document["components"] if item["type"] == "library"}
    assert len(purls) == len(pinned)
    assert f"pkg:pypi/numpy@{pinned['numpy']}" in purls
    (model,) = [item for item in document["components"] if item["type"] == "machine-learning-model"]
    assert model["hashes"] == [{"alg": "SHA-256", "content": "ab" * 32}]
    whole = document["metadata"]["component"]
    assert (whole["name"], whole["version"]) == ("ocr", "1.4.0")


def test_it_is_the_same_each_time_and_in_any_order() -> None:
    pinned = {"click": "8.1.8", "numpy": "1.26.4", "grpcio": "1.80.1"}
    models = [MODEL, sbom.Model("rec", "release/models/rec", "fp32", "ef" * 32, "01" * 32)]
    first = sbom.text("ocr", "1.4.0", pinned, models)
    again = sbom.text("ocr", "1.4.0", dict(reversed(list(pinned.items()))), models[::-1])
    assert first == again
    assert "serialNumber" not in first
    assert "timestamp" not in first
