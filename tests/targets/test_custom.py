"""Objects that others define: Argo Rollouts, Prometheus' operator, KServe. `make test-schemas` fetches their models."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.targets.examples import EXAMPLES, texts
from tests.targets.kserve import Models
from tests.targets.test_kubernetes import CUSTOM, KUBERNETES

SCHEMAS = Path(__file__).resolve().parents[2] / ".schemas"
MODULES, SDK = SCHEMAS / "node_modules", SCHEMAS / "python" / "kserve" / "models"
NODE = shutil.which("node")
PROMTOOL = shutil.which("promtool")

needs_models = pytest.mark.skipif(
    NODE is None or not MODULES.is_dir(), reason="run `make test-schemas`; it needs Debian's package `npm`"
)
needs_sdk = pytest.mark.skipif(not SDK.is_dir(), reason="run `make test-schemas`")
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is missing: install Debian's package `prometheus`"
)


def objects(name: str, *targets: str) -> Iterator[dict[str, Any]]:
    for target in targets:
        for path, text in texts(name, target).items():
            if not path.endswith("kustomization.yml"):
                yield from yaml.safe_load_all(text)


def custom(name: str) -> dict[str, dict[str, Any]]:
    return {item["kind"]: item for item in objects(name, "kubernetes", "argo") if item["kind"] in CUSTOM}


def complaints(items: list[dict[str, Any]]) -> list[str]:
    """What the models in TypeScript refuse."""
    done = subprocess.run(
        [str(NODE), str(Path(__file__).with_name("custom.mjs")), str(MODULES)],
        input=json.dumps(items),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found


@needs_models
@pytest.mark.parametrize("name", EXAMPLES)
def test_objects_of_argo_and_of_prometheus_operator_are_valid(name: str) -> None:
    assert set(custom(name)) == CUSTOM
    assert complaints(list(custom(name).values())) == []


@needs_models
def test_the_models_refuse_what_is_wrong() -> None:
    wrong = custom("ocr")
    wrong["Rollout"]["spec"]["strategy"]["canary"]["steps"][0]["setWeight"] = "ten"
    wrong["ServiceMonitor"]["spec"]["endpoints"][0]["relabelings"][0]["replacement"] = 1
    del wrong["AnalysisTemplate"]["spec"]["metrics"][0]["provider"]
    assert sorted(text.split(":")[0] for text in complaints(list(wrong.values()))) == sorted(CUSTOM)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_rollout_goes_the_steps_of_the_spec_and_is_watched_from_the_first(name: str) -> None:
    found, spec = custom(name), EXAMPLES[name]
    canary = found["Rollout"]["spec"]["strategy"]["canary"]
    assert [step["setWeight"] for step in canary["steps"][::2]] == list(spec.canary.steps)
    assert {step["pause"]["duration"] for step in canary["steps"][1::2]} == {
        f"{spec.targets.canary_seconds}s"
    }
    template = found["AnalysisTemplate"]
    assert canary["analysis"]["templates"] == [{"templateName": template["metadata"]["name"]}]
    given = {item["name"] for item in canary["analysis"]["args"]}
    needed = {item["name"] for item in template["spec"]["args"] if "value" not in item}
    assert given == needed


@needs_promtool
@pytest.mark.parametrize("name", EXAMPLES)
def test_the_analysis_asks_what_prometheus_understands(name: str, tmp_path: Path) -> None:
    metrics = custom(name)["AnalysisTemplate"]["spec"]["metrics"]
    rules = [
        {"record": f"query:{number}", "expr": metric["provider"]["prometheus"]["query"]}
        for number, metric in enumerate(metrics)
    ]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "analysis", "rules": rules}]}), encoding="utf-8")
    done = subprocess.run(
        [str(PROMTOOL), "check", "rules", str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@needs_sdk
@pytest.mark.parametrize("name", EXAMPLES)
def test_objects_of_kserve_have_the_fields_of_its_api(name: str) -> None:
    models = Models(SDK)
    found = {item["kind"]: item for item in objects(name, "kserve")}
    assert set(found) == {"ServingRuntime", "InferenceService"}
    assert list(models.complaints(found["ServingRuntime"], "V1alpha1ServingRuntime")) == []
    assert list(models.complaints(found["InferenceService"], "V1beta1InferenceService")) == []


@needs_sdk
def test_fields_that_the_api_of_kserve_lacks_are_found() -> None:
    (runtime,) = (item for item in objects("ocr", "kserve") if item["kind"] == "ServingRuntime")
    runtime["spec"]["supportedModelFormats"][0]["autoselect"] = True
    runtime["spec"]["multiModel"] = "no"
    assert list(Models(SDK).complaints(runtime, "V1alpha1ServingRuntime")) == [
        ".spec.supportedModelFormats.0.autoselect is unknown",
        ".spec.multiModel: 'no' is no bool",
    ]


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_container_of_the_runtime_is_one_of_kubernetes(name: str) -> None:
    (runtime,) = (item["spec"] for item in objects(name, "kserve") if item["kind"] == "ServingRuntime")
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "runtime"},
        "spec": {"containers": runtime["containers"], "volumes": runtime["volumes"]},
    }
    kubernetes_validate.validate(pod, KUBERNETES[-1], strict=True)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_service_of_kserve_asks_for_the_runtime_and_the_format_that_there_are(name: str) -> None:
    found = {item["kind"]: item for item in objects(name, "kserve")}
    runtime, model = found["ServingRuntime"], found["InferenceService"]["spec"]["predictor"]["model"]
    assert model["runtime"] == runtime["metadata"]["name"]
    formats = [(item["name"], item["version"]) for item in runtime["spec"]["supportedModelFormats"]]
    assert (model["modelFormat"]["name"], model["modelFormat"]["version"]) in formats
    assert model["protocolVersion"] in runtime["spec"]["protocolVersions"]
