"""How the service runs, how a release takes the place of another, and where it runs elsewhere."""

from __future__ import annotations

from typing import Annotated, Optional

from pydantic import Field, model_validator
from typing_extensions import Literal

from toolkit.spec.section import Section


class ServingSpec(Section):
    """How the service runs, and what it refuses."""

    threads: int = Field(default=1, ge=1, description="threads of one inference")
    cache_capacity: int = Field(
        default=128,
        ge=1,
        description="input shapes whose oneDNN primitives a replica keeps, of all models together",
    )
    replicas: Optional[int] = Field(
        default=None, ge=1, description="replica processes; default: as many as the cores bear with `threads`"
    )
    workers: int = Field(default=2, ge=1, description="requests that a replica is given at a time")
    queue: int = Field(default=32, ge=0, description="requests that wait for a replica; more get 429")
    max_body_bytes: int = Field(default=16 * 1024 * 1024, ge=1024, description="largest request")
    max_connections: int = Field(default=1000, ge=1, description="HTTP connections open at a time")
    header_seconds: float = Field(
        default=10.0, gt=0, description="until when a connection must have sent its headers"
    )
    deadline_seconds: float = Field(default=30.0, gt=0, description="longest time for a request")
    start_seconds: float = Field(
        default=120.0, gt=0, description="longest time until the golden inference succeeded"
    )
    warm_seconds: float = Field(
        default=3.0,
        ge=0,
        description="longest time of a start that a replica may run its models in the shapes that they will meet, "
        "the most frequent first; 0: no warm-up",
    )
    grace_seconds: float = Field(default=10.0, ge=0, description="time to finish requests when stopping")
    golden_interval_seconds: float = Field(
        default=10.0, gt=0, description="each replica is asked for a known answer as often as this"
    )
    golden_deadline_seconds: float = Field(
        default=10.0, gt=0, description="a replica that gives no sign of life for so long is replaced"
    )
    memory_limit_megabytes: Optional[int] = Field(
        default=None,
        ge=64,
        description="resident memory beyond which a replica is replaced; default: twice that of a fresh one, "
        "and at least 1024 more",
    )
    standby: Literal["fp32", "none"] = Field(
        default="fp32",
        description="fp32: a warm replica of the FP32 reference stands by, so that going back to it takes no time; "
        "none: save its memory",
    )
    starts: int = Field(
        default=1, ge=1, description="replicas of a new release that start at a time beside those that serve"
    )
    pin: bool = Field(
        default=True,
        description="each replica keeps to processors of its own, where replicas and threads divide all of them evenly",
    )


class CanarySpec(Section):
    """How a new release is tried on a part of the requests, and what takes it back."""

    steps: tuple[Annotated[int, Field(ge=1, le=99)], ...] = Field(
        default=(10, 25, 50),
        min_length=1,
        description="percent of the requests that it gets, in steps; a canary begins with the percent that it is "
        "started with, and goes on with the greater ones of these",
    )
    interval_seconds: float = Field(default=30.0, gt=0, description="from one analysis to the next")
    successes: int = Field(default=1, ge=1, description="analyses that must succeed before the next step")
    failures: int = Field(
        default=0, ge=0, description="failed analyses that are tolerated; one more takes it back"
    )
    inconclusives: int = Field(
        default=10, ge=0, description="inconclusive analyses that are tolerated; one more takes it back"
    )
    min_requests: int = Field(
        default=30,
        ge=1,
        description="requests that it has got at a step, and pairs of answers; with fewer, no analysis succeeds",
    )
    mirror: float = Field(
        default=0.2, ge=0, le=1, description="share of the requests that the other release is asked, too"
    )
    max_errors: float = Field(
        default=0.01,
        ge=0,
        lt=1,
        description="share of its requests that it failed, or that took down a replica of it",
    )
    max_latency_ratio: float = Field(
        default=1.5, ge=1, description="of its time to the other release's, for the same request"
    )
    max_disagreement: float = Field(
        default=0.01,
        ge=0,
        lt=1,
        description="share of the answers that differs beyond what the gate measured of both releases",
    )

    @model_validator(mode="after")
    def _rising(self) -> CanarySpec:
        if list(self.steps) != sorted(set(self.steps)):
            raise ValueError("the `steps` must rise")
        return self


class WatchSpec(Section):
    """How the release is compared with its FP32 variant on live requests, where a replica of that stands by."""

    sample: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="share of the requests that FP32 is asked, too, after the client has its answer; 0: none",
    )
    window: int = Field(default=200, ge=30, description="pairs of answers that are looked back on")
    max_disagreement: float = Field(
        default=0.02,
        ge=0,
        lt=1,
        description="share of the answers that differs beyond what the gate measured",
    )
    rollback: bool = Field(default=False, description="go to FP32 by itself when more than that differs")


class TargetsSpec(Section):
    """Where the service runs beside this machine: what only its user knows; the rest is derived from `serving`."""

    image: Optional[str] = Field(
        default=None,
        pattern=r"^[a-z0-9][a-z0-9._:/-]*[a-z0-9]$",
        description="repository of the container image, without a tag; default: `localhost/<name>`",
    )
    namespace: str = Field(
        default="serving", pattern=r"^[a-z0-9][a-z0-9-]{0,52}[a-z0-9]$", description="in Kubernetes"
    )
    cpus: int = Field(default=2, ge=1, description="processors of a container")
    memory_megabytes: Optional[int] = Field(
        default=None,
        ge=512,
        description="memory of a container; default: the limits of its replicas, room to replace one and for the one "
        "that stands by",
    )
    min_pods: int = Field(default=2, ge=1, description="in Kubernetes, in production")
    max_pods: int = Field(default=6, ge=1, description="in Kubernetes, in production")
    cpu_percent: int = Field(
        default=70, ge=1, le=100, description="use of the processors that the number of pods is kept at"
    )
    canary_seconds: int = Field(
        default=300, ge=1, description="how long Argo Rollouts watches each step of `canary`"
    )
    storage: str = Field(
        default="pvc://releases",
        pattern=r"^[a-z0-9]+://\S*[^/\s]$",
        description="where KServe finds releases: the folder `<name>-<version>` below it",
    )
    hosts: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*$")], ...] = Field(
        default=("192.0.2.11", "192.0.2.12"),
        min_length=1,
        description="machines without Kubernetes that the proxy balances over",
    )
    directory: str = Field(
        default="/srv/serving",
        pattern=r"^/[\w./-]*\w$",
        description="checkout of the toolkit on such a machine; releases are in `dist` below it",
    )

    @model_validator(mode="after")
    def _in_order(self) -> TargetsSpec:
        if self.min_pods > self.max_pods:
            raise ValueError("`min_pods` is more than `max_pods`")
        return self
