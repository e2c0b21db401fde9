"""Objects of Kubernetes, by its own schemas, alone and as `kubectl kustomize` puts them together."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.targets.examples import EXAMPLES, RENDERED, VERSION, texts
from toolkit.targets import files
from toolkit.targets.plan import plan

# The oldest version that is still common, and the newest that the validator knows.
KUBERNETES = ("1.29", kubernetes_validate.latest_version())
# The objects of others: test_custom.py has them.
CUSTOM = {"ServiceMonitor", "Rollout", "AnalysisTemplate"}

KUBECTL = shutil.which("kubectl")
needs_kubectl = pytest.mark.skipif(
    KUBECTL is None,
    reason="kubectl is missing: https://kubernetes.io/docs/tasks/tools says where it is to be had",
)
BUILDS = ("kubernetes/overlays/staging", "kubernetes/overlays/production", "argo")


def objects(name: str) -> Iterator[dict[str, Any]]:
    """All objects of the base and the overlays, as they are rendered."""
    for path, text in texts(name, "kubernetes").items():
        if not path.endswith("kustomization.yml"):
            yield from yaml.safe_load_all(text)


def by_kind(name: str) -> dict[str, dict[str, Any]]:
    return {item["kind"]: item for item in objects(name)}


def pod(name: str) -> dict[str, Any]:
    found: dict[str, Any] = by_kind(name)["Deployment"]["spec"]["template"]["spec"]
    return found


def built(name: str, folder: str, tmp_path: Path) -> list[dict[str, Any]]:
    """What `kubectl kustomize` makes of a folder."""
    assert KUBECTL is not None
    files.write(RENDERED[name], tmp_path)
    done = subprocess.run(
        [KUBECTL, "kustomize", str(tmp_path / folder)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return list(yaml.safe_load_all(done.stdout))


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("name", EXAMPLES)
def test_every_object_is_valid(name: str, version: str) -> None:
    kinds = []
    for item in objects(name):
        kinds.append(item["kind"])
        if item["kind"] not in CUSTOM:
            kubernetes_validate.validate(item, version, strict=True)
    assert sorted(kinds) == [
        "Deployment", "HorizontalPodAutoscaler", "Namespace", "Namespace", "NetworkPolicy", "PodDisruptionBudget",
        "Service", "Service", "ServiceMonitor",
    ]  # fmt: skip


def test_the_validator_refuses_what_is_misspelt() -> None:
    item = by_kind("ocr")["Deployment"]
    item["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(item, KUBERNETES[-1], strict=True)


@needs_kubectl
@pytest.mark.parametrize("folder", BUILDS)
@pytest.mark.parametrize("name", EXAMPLES)
def test_what_kustomize_builds_is_valid_and_in_its_namespace(name: str, folder: str, tmp_path: Path) -> None:
    namespace = EXAMPLES[name].targets.namespace + ("-staging" if folder.endswith("staging") else "")
    found = built(name, folder, tmp_path)
    for item in found:
        if item["kind"] not in CUSTOM:
            kubernetes_validate.validate(item, KUBERNETES[-1], strict=True)
        named = item["metadata"]["name" if item["kind"] == "Namespace" else "namespace"]
        assert named == namespace, item["kind"]
    (deployment,) = (item for item in found if item["kind"] == "Deployment")
    image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image == f"{plan(EXAMPLES[name]).image}:{VERSION}"


@needs_kubectl
def test_staging_is_smaller_than_production(tmp_path: Path) -> None:
    scales = {}
    for folder in BUILDS:
        (item,) = (
            item for item in built("ocr", folder, tmp_path) if item["kind"] == "HorizontalPodAutoscaler"
        )
        scales[folder] = (
            item["spec"]["minReplicas"], item["spec"]["maxReplicas"], item["spec"]["scaleTargetRef"]["kind"],
        )  # fmt: skip
    assert list(scales.values()) == [(1, 2, "Deployment"), (2, 6, "Deployment"), (2, 6, "Rollout")]


@pytest.mark.parametrize("name", EXAMPLES)
def test_whatever_points_at_pods_points_at_those_of_the_deployment(name: str) -> None:
    kinds = by_kind(name)
    labels = kinds["Deployment"]["spec"]["template"]["metadata"]["labels"].items()
    selectors = [
        kinds["Deployment"]["spec"]["selector"]["matchLabels"],
        kinds["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        kinds["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        *(item["spec"]["selector"] for item in objects(name) if item["kind"] == "Service"),
    ]
    assert all(selector.items() <= labels for selector in selectors)
    assert (
        kinds["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"]
        == (kinds["Deployment"]["metadata"]["name"])
    )


def test_the_monitor_finds_one_of_the_two_services_so_that_no_pod_is_scraped_twice() -> None:
    wanted = by_kind("ocr")["ServiceMonitor"]["spec"]["selector"]["matchLabels"].items()
    services = [item for item in objects("ocr") if item["kind"] == "Service"]
    assert [wanted <= item["metadata"]["labels"].items() for item in services].count(True) == 1


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_port_that_is_named_is_one_of_the_container(name: str) -> None:
    (container,) = pod(name)["containers"]
    ports = {item["name"] for item in container["ports"]}
    named = {container[probe]["httpGet"]["port"] for probe in ("readinessProbe", "livenessProbe")}
    for item in objects(name):
        if item["kind"] == "Service":
            named |= {port["targetPort"] for port in item["spec"]["ports"]}
    named |= {port["port"] for port in by_kind(name)["NetworkPolicy"]["spec"]["ingress"][0]["ports"]}
    assert named == ports == {"http", "grpc"}


def test_a_pod_has_time_to_start_and_to_finish() -> None:
    (container,) = pod("ocr")["containers"]
    serving = EXAMPLES["ocr"].serving
    startup = container["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] > serving.start_seconds
    drain = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod("ocr")["terminationGracePeriodSeconds"] > drain + 2 * serving.grace_seconds


def test_a_pod_may_do_no_more_than_the_restricted_standard_allows_and_write_no_image() -> None:
    (container,) = pod("ocr")["containers"]
    # https://kubernetes.io/docs/concepts/security/pod-security-standards
    assert pod("ocr")["securityContext"]["runAsNonRoot"] is True
    assert pod("ocr")["securityContext"]["runAsUser"] > 0
    assert pod("ocr")["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert all("emptyDir" in volume for volume in pod("ocr")["volumes"])
    assert not pod("ocr")["automountServiceAccountToken"]
