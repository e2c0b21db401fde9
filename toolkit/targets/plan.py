"""What all targets of a pipeline agree on: names, ports, how large a container is and how long it is waited for."""

from __future__ import annotations

import math
from dataclasses import dataclass

from toolkit.doctor import GRPC_PORT, HTTP_PORT
from toolkit.spec.pipeline import PipelineSpec

# Never `latest`: what it means changes without a trace.
UNRELEASED = "unreleased"

# Megabytes: of a replica whose limit is not in the spec, as its limit works out for OCR; of a fresh one, such as that
# which is started beside the others to take the place of one, and that which stands by; of the front door. They assume
# the default `warm_seconds`: then OCR has some 800 MB and a limit of some 1850; warm in all shapes 1400 and 2900.
_REPLICA, _FRESH, _DOOR = 2500, 1100, 500

# Seconds: proxies and kube-proxy go on sending to a pod that ends; ending takes longer than the two waits for requests.
_DRAIN, _MARGIN = 5, 5
_PROBE_SECONDS = 5


@dataclass(frozen=True)
class Plan:
    """
    Attributes:
        name: the pipeline.
        label: the same where no underscores are allowed.
        version: of the release, which is the image's tag.
        image: its repository.
        replicas: processes in a container.
        cpus: processors of a container.
        memory_megabytes: of a container.
        http_port, grpc_port: that it listens on.
        drain_seconds: between the decision to end a container and the signal.
        stop_seconds: between SIGTERM and SIGKILL.
        start_probes: looks, one every `probe_seconds`, until it must be ready.
    """

    name: str
    label: str
    version: str
    image: str
    replicas: int
    cpus: int
    memory_megabytes: int
    stop_seconds: int
    start_probes: int
    http_port: int = HTTP_PORT
    grpc_port: int = GRPC_PORT
    drain_seconds: int = _DRAIN
    probe_seconds: int = _PROBE_SECONDS


def plan(spec: PipelineSpec, version: str = UNRELEASED) -> Plan:
    """What follows from a pipeline's spec."""
    serving, targets = spec.serving, spec.targets
    by_cores = 1 if spec.hardware.resource else max(1, targets.cpus // serving.threads)
    replicas = serving.replicas or by_cores
    fresh = 1 + (serving.standby != "none")
    label = spec.name.replace("_", "-").rstrip("-")
    return Plan(
        name=spec.name,
        label=label,
        version=version,
        image=targets.image or f"localhost/{label}",
        replicas=replicas,
        cpus=targets.cpus,
        memory_megabytes=targets.memory_megabytes
        or replicas * (serving.memory_limit_megabytes or _REPLICA) + fresh * _FRESH + _DOOR,
        # The front door waits for what it has accepted, then the replicas for what they do.
        stop_seconds=math.ceil(2 * serving.grace_seconds) + _MARGIN,
        start_probes=math.ceil((serving.start_seconds + _MARGIN) / _PROBE_SECONDS),
    )
