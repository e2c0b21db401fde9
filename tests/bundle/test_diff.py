from __future__ import annotations

import copy
from pathlib import Path

from tests.bundle import examples
from toolkit.bundle import catalog, diff, signature


def test_two_builds_of_the_same_differ_in_nothing(tmp_path: Path) -> None:
    found = diff.compare(examples.made(tmp_path, "1.0.0"), examples.made(tmp_path, "1.0.1"))
    assert (found.pop("before"), found.pop("after")) == ("ocr-1.0.0", "ocr-1.0.1")
    assert not any(found.values())


def test_it_tells_models_accuracy_latency_configs_and_packages(tmp_path: Path) -> None:
    models = copy.deepcopy(examples.CONTENT["models"])
    models["det"].update(served="bf16", precision="bf16", milliseconds=50.0, sha256="2" * 64)
    models["det"]["verdict"].update(value=0.86, drop=-0.9)
    models["rec"] = copy.deepcopy(models["det"])
    files = {
        **examples.FILES,
        "release/config.yml": "worker_num: 3\n",
        "release/models/det/serving_server/model.pdiparams": "other",
        "release/pipeline/ops.py": "",
        "report/index.html": "other",
    }
    after = examples.made(
        tmp_path,
        "2.0.0",
        files,
        models=models,
        environment={"packages": {"click": "8.1.8", "numpy": "2.0.0"}},
    )
    found = diff.compare(examples.made(tmp_path), after)
    assert found["models"]["det"] == {
        "served": ["int8 mse", "bf16"], "precision": ["int8", "bf16"], "sha256": ["1" * 64, "2" * 64],
    }  # fmt: skip
    assert found["models"]["rec"]["served"] == [None, "bf16"]
    assert found["accuracy"]["det"] == {"value": [0.85, 0.86], "drop": [0.1, -0.9]}
    assert found["latency"]["det"] == {"milliseconds": [40.0, 50.0]}
    assert found["configs"] == {
        "release/config.yml": {
            "became": "changed",
            "lines": ["@@ -1 +1 @@", "-worker_num: 2", "+worker_num: 3"],
        },
        "release/pipeline/ops.py": {"became": "added", "lines": []},
    }
    assert found["packages"] == {"numpy": ["1.26.4", "2.0.0"]}


def test_it_tells_how_far_answers_differ_from_native_fp32_where_a_release_says_so(tmp_path: Path) -> None:
    agreement = {"kind": "text", "path": "lines.text", "samples": 60, "rate": 0.002, "high": 0.004}
    whole = {**examples.CONTENT["end_to_end"], "agreement": agreement}
    less = {**whole, "agreement": {**agreement, "rate": 0.003}}
    before, some, other = (
        examples.made(tmp_path, f"1.0.{number}", end_to_end=told)
        for number, told in enumerate((examples.CONTENT["end_to_end"], whole, less))
    )
    assert diff.compare(some, other)["agreement"] == {"rate": [0.002, 0.003]}
    assert diff.compare(before, some)["agreement"] == {key: [None, value] for key, value in agreement.items()}


def test_the_list_of_releases_is_by_version_and_shows_damage(tmp_path: Path) -> None:
    key = tmp_path / "k"
    signature.generate(key)
    dist = tmp_path / "dist"
    for version in ("1.10.0", "1.9.0", "1.10.0-rc.1"):
        examples.made(dist, version, key=key if version == "1.9.0" else None)
    examples.flip(examples.made(dist, "2.0.0").manifest, 50)
    (dist / "notes").mkdir()
    found = catalog.bundles(dist)
    assert [item.version for item in found] == ["1.9.0", "1.10.0-rc.1", "1.10.0", "2.0.0"]
    assert [bool(item.signer) for item in found] == [True, False, False, False]
    assert (found[0].precisions, found[0].drop) == ({"det": "int8"}, 0.1)
    assert [item.problem is None for item in found] == [True, True, True, False]
    assert catalog.bundles(tmp_path / "nowhere") == []
