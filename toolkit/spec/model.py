"""What a pipeline spec may say, with its types, defaults and meaning; the JSON schema is made from this."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

from pydantic import Field, PrivateAttr, field_validator, model_validator
from typing_extensions import Literal

from toolkit.content.kinds import Kind
from toolkit.hardware import HARDWARE, Hardware, TargetName
from toolkit.spec import hardware as rules
from toolkit.spec.hardware import CppSpec, DeviceSpec
from toolkit.spec.section import Section

Reference = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
# A judge of this name needs no labels.
AGREEMENT = "agreement"
JudgeReference = Annotated[str, Field(pattern=r"^(agreement|[A-Za-z_][\w.]*:[A-Za-z_]\w*)$")]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Precision = Literal["int8", "bf16", "fp32"]
Dimension = Annotated[int, Field(ge=1)]
AnswerPath = Annotated[
    str,
    Field(
        pattern=r"^\w+(\.\w+)?$",
        description="`member` of the answer, or `list.member`: that member of each item of the list",
    ),
]


class TensorSpec(Section):
    """An input of a layer that is exported."""

    name: str = Field(description="name of the input in the exported program")
    shape: list[int] = Field(description="-1 for a dynamic dimension")
    dtype: str = Field(default="float32", description="numpy's name of the element type")


class SourceSpec(Section):
    """Where a model comes from: exactly one of `package`, `directory` and `layer`."""

    package: Optional[str] = Field(
        default=None, description="an installed Python package that ships the model"
    )
    directory: Optional[str] = Field(
        default=None,
        description="an inference model directory, or a folder within `package`; relative to the spec",
    )
    model: Optional[str] = Field(default=None, description="name of the program file, when there are several")
    params: Optional[str] = Field(
        default=None, description="name of the weights file, when it has another stem"
    )
    layer: Optional[Reference] = Field(
        default=None, description="`module:callable` that makes a paddle.nn.Layer"
    )
    arguments: dict[str, Any] = Field(default_factory=dict, description="keyword arguments of the callable")
    weights: Optional[str] = Field(
        default=None, description="a .pdparams file for the layer; none: random weights"
    )
    inputs: list[TensorSpec] = Field(default_factory=list, description="the inputs of the layer")

    @property
    def has_random_weights(self) -> bool:
        """Whether it is a layer that nobody trained."""
        return self.layer is not None and self.weights is None

    @model_validator(mode="after")
    def _one_kind(self) -> SourceSpec:
        if self.layer is None and self.directory is None:
            raise ValueError("a source needs `directory`, `package` with `directory`, or `layer`")
        if self.layer is not None and (self.directory or self.package):
            raise ValueError("a source is either a `layer` or a `directory`, not both")
        if self.layer is not None and not self.inputs:
            raise ValueError("a `layer` needs `inputs`, so that it can be exported")
        return self


class QuantizeSpec(Section):
    """How INT8 candidates of a model are made; the tournament finds the best of them."""

    algorithms: tuple[Literal["minmax", "histogram", "moving_average", "kl", "mse"], ...] = Field(
        default=("minmax", "histogram", "moving_average", "kl", "mse"),
        min_length=1,
        description="ways to find the range of an activation, all tried",
    )
    percents: tuple[Annotated[float, Field(gt=0.5, le=1)], ...] = Field(
        default=(0.999, 0.9999),
        min_length=1,
        description="shares of values within the range, for `histogram`",
    )
    weights: tuple[Literal["channel", "tensor"], ...] = Field(
        default=("channel",),
        min_length=1,
        description="one scale for each output channel, or one for each tensor",
    )
    kinds: tuple[Literal["conv2d", "depthwise_conv2d", "mul", "matmul", "matmul_v2"], ...] = Field(
        default=("conv2d", "depthwise_conv2d", "mul", "matmul", "matmul_v2"),
        min_length=1,
        description="kinds of layers that may run in INT8; depthwise convolutions and products are also tried in float",
    )
    equalize: bool = Field(
        default=False,
        description="also try cross-layer equalization, which needs a calibration of its own; "
        "pays where depthwise convolutions run in INT8",
    )
    skip: tuple[str, ...] = Field(default=(), description="names of layers that stay in float in any case")
    samples: int = Field(default=64, ge=1, description="calibration batches")


class ModelSpec(Section):
    """One model of the pipeline."""

    source: SourceSpec
    inputs: dict[Name, tuple[Dimension, ...]] = Field(
        description="alias of each input, in the program's order, and the shape of the probe inference"
    )
    outputs: tuple[Name, ...] = Field(description="alias of each output, in the program's order")
    step: Reference = Field(description="class with the pre- and postprocessing, in the pipeline's folder")
    options: dict[str, Any] = Field(default_factory=dict, description="handed to the step")
    judge: JudgeReference = Field(
        description="class that measures the model by labels, in the pipeline's folder; or `agreement`: how far "
        "answers are those of native FP32, where there are no labels and the model is the only step"
    )
    metric: Literal["hmean", "recall", "precision"] = Field(description="the figure that the gate compares")
    quantize: QuantizeSpec = Field(default_factory=QuantizeSpec)
    candidates: Optional[tuple[Precision, ...]] = Field(
        default=None, description="precisions to try; default: the pipeline's"
    )

    @field_validator("inputs", "outputs")
    @classmethod
    def _not_empty(cls, value: Any) -> Any:
        if not value:
            raise ValueError("at least one is needed")
        return value

    @model_validator(mode="after")
    def _distinct_names(self) -> ModelSpec:
        names = [*self.inputs, *self.outputs]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"{twice!r} names two of the model's inputs and outputs")
        return self


class DataSpec(Section):
    """The pipeline's own dataset, used where the user gives none with DATA=."""

    generator: Reference = Field(
        description="function (directory, options, progress) in the pipeline's folder"
    )
    options: dict[str, Any] = Field(default_factory=dict, description="handed to the generator")
    packages: tuple[str, ...] = Field(
        default=(), description="installed packages whose versions decide what the generator writes"
    )
    code: tuple[str, ...] = Field(
        default=(), description="folders of code that it uses beside its own, relative to the pipeline's"
    )
    placeholder: bool = Field(
        default=False,
        description="what the generator writes only stands in for requests, with an empty calibration.txt: without "
        "DATA= nothing is calibrated, and only FP32 is tried",
    )


class GateSpec(Section):
    """How much accuracy a candidate may lose, and what becomes of it when that cannot be told."""

    max_drop: float = Field(
        default=0.5,
        gt=0,
        le=100,
        description="points; a candidate that loses as much or more against FP32 is rejected",
    )
    relative: bool = Field(
        default=False, description="the drop is in percent of FP32's figure, not in points"
    )
    confidence: float = Field(
        default=0.95, gt=0.5, lt=1, description="of the bound on the drop that decides: one-sided"
    )
    inconclusive: Literal["accept", "reject", "next"] = Field(
        default="accept",
        description="samples too few to decide: serve it if the drop that was measured is inside the limit; "
        "take FP32; or try the next candidate",
    )
    prefer: Literal["int8", "latency", "size"] = Field(
        default="int8", description="among those that pass: the fastest INT8, the fastest, or the smallest"
    )
    int8_share: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="share of the multiply-accumulates that an INT8 candidate must run in INT8",
    )
    levels: tuple[Literal["AVX2", "AVX512_CORE", "AVX512_CORE_VNNI", "AVX512_CORE_BF16"], ...] = Field(
        default=(), description="lesser CPUs that the winner is also judged for, each by itself"
    )


class SearchSpec(Section):
    """How long the search for the best INT8 candidate may take."""

    budget_seconds: float = Field(default=600, ge=0, description="for all models together")


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


class TuneServingSpec(Section):
    """Values of keys of `serving` that are tried; that of `serving` itself is always tried, too."""

    replicas: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(), description="those that the cores do not bear with `threads` are left out"
    )
    threads: tuple[Annotated[int, Field(ge=1)], ...] = ()
    workers: tuple[Annotated[int, Field(ge=1)], ...] = ()


class TuneSpec(Section):
    """What `make tune` tries on this machine, and what it looks for: most throughput within the bounds."""

    target_p99_milliseconds: Optional[float] = Field(
        default=None,
        gt=0,
        description="99 of 100 requests are answered within it; default: what the spec as it is takes",
    )
    memory_megabytes: Optional[int] = Field(
        default=None, ge=1, description="of the service with its replicas; default: no limit"
    )
    budget_seconds: float = Field(
        default=300, gt=0, description="for everything; what is left then is not tried"
    )
    clients: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(1, 2, 4, 8),
        min_length=1,
        description="that ask at a time, each its next question when it has its answer; tried until more gain nothing",
    )
    images: int = Field(
        default=8, ge=1, description="validation images that are asked, evenly spread over the split"
    )
    serving: TuneServingSpec = Field(default_factory=TuneServingSpec)
    options: dict[Name, dict[str, tuple[Any, ...]]] = Field(
        default_factory=dict,
        description="by model and key of its `options`: values that are tried beside the one there; one that changes "
        "golden answers is refused",
    )

    @model_validator(mode="after")
    def _rising(self) -> TuneSpec:
        if list(self.clients) != sorted(set(self.clients)):
            raise ValueError("the `clients` must rise")
        return self


class OutputSpec(Section):
    """A part of the answer as a tensor of the Open Inference Protocol."""

    name: Name
    path: AnswerPath
    datatype: Literal["BYTES", "FP32", "FP64", "INT32", "INT64", "BOOL"]
    shape: tuple[int, ...] = Field(description="-1 for the number of items of the list")


class AgreementSpec(Section):
    """How whole answers of two precisions, or of two releases, are compared with each other: without labels."""

    kind: Literal["text", "top1", "boxes", "numbers"] = Field(
        description="text: edit distance of lines, in characters; top1: whether the first item is the same; "
        "boxes: those without a partner at an overlap of 0.5; numbers: those of an array, or of the arrays of an "
        "object, that are apart by more than a twentieth of its largest"
    )
    path: AnswerPath
    classes: Optional[AnswerPath] = Field(
        default=None,
        description="with boxes: where their classes are; partners have the same. Default: any has",
    )

    @model_validator(mode="after")
    def _of_boxes(self) -> AgreementSpec:
        if self.classes is not None and self.kind != "boxes":
            raise ValueError(f"`classes` goes with `kind: boxes`, not with `{self.kind}`")
        return self


class PipelineSpec(Section):
    """A pipeline: models, the order in which a request passes them, how they are judged and served."""

    name: Name
    description: str = ""
    accepts: Kind = Field(
        default="image",
        description="what a request brings, in the field of that name: `image`, a file; `text`; or `json`, an object "
        "or array in the field `inputs`",
    )
    request: Reference = Field(description="function that turns a request's fields into the first payload")
    request_options: dict[str, Any] = Field(default_factory=dict, description="handed to that function")
    response: Reference = Field(description="function that turns the last payload into the answer")
    models: dict[Name, ModelSpec]
    outputs: tuple[OutputSpec, ...] = Field(
        default=(), description="the answer as tensors, for clients of the Open Inference Protocol"
    )
    steps: tuple[Name, ...] = Field(description="models in the order in which a request passes them")
    judge: JudgeReference = Field(
        description="class that measures whole answers by labels; or `agreement`, which needs none"
    )
    metric: Literal["hmean", "recall", "precision"] = Field(
        default="recall", description="the figure of whole answers that the gate compares"
    )
    judge_options: dict[str, Any] = Field(default_factory=dict, description="handed to every judge")
    agreement: Optional[AgreementSpec] = Field(
        default=None, description="what of whole answers is compared; default: nothing"
    )
    data: DataSpec
    candidates: tuple[Precision, ...] = Field(
        default=("int8", "bf16", "fp32"),
        description="precisions to try; native FP32 is the last resort",
    )
    engines: tuple[Literal["paddle", "openvino"], ...] = Field(
        default=("paddle",),
        description="engines to try the candidates in; openvino where it is installed",
    )
    golden: int = Field(default=4, ge=1, description="validation samples that verify the running service")
    gate: GateSpec = Field(default_factory=GateSpec)
    search: SearchSpec = Field(default_factory=SearchSpec)
    serving: ServingSpec = Field(default_factory=ServingSpec)
    canary: CanarySpec = Field(default_factory=CanarySpec)
    watch: WatchSpec = Field(default_factory=WatchSpec)
    targets: TargetsSpec = Field(default_factory=TargetsSpec)
    # Of no stage's key: what is tried changes nothing of what is built.
    tune: TuneSpec = Field(default_factory=TuneSpec, exclude=True)
    # Of a stage's key only where they say something: else what was built without them would be built again.
    target: TargetName = Field(
        default="x86-cpu", exclude=True, description="hardware that serves; what is not x86-cpu was never run"
    )
    device: DeviceSpec = Field(default_factory=DeviceSpec, exclude=True)
    cpp: Optional[CppSpec] = Field(
        default=None, exclude=True, description="given: Paddle Serving's C++ server serves"
    )

    _directory: Path = PrivateAttr(default=Path())

    @field_validator("engines")
    @classmethod
    def _with_paddle(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "paddle" not in value:
            raise ValueError("paddle must be one of them: what a release goes back to runs in it")
        return value

    @model_validator(mode="after")
    def _known_steps(self) -> PipelineSpec:
        for step in self.steps:
            if step not in self.models:
                raise ValueError(f"steps: {step!r} is none of the models {', '.join(self.models)}")
        if not self.steps:
            raise ValueError("steps: at least one model is needed")
        if len(set(self.steps)) != len(self.steps):
            raise ValueError("steps: a model can be passed once")
        return self

    @model_validator(mode="after")
    def _comparable(self) -> PipelineSpec:
        judged = [name for name in self.steps if self.models[name].judge == AGREEMENT]
        if (judged or self.judge == AGREEMENT) and self.agreement is None:
            raise ValueError(f"`judge: {AGREEMENT}` needs the section `agreement`: what is compared")
        if judged and len(self.steps) > 1:
            raise ValueError(
                f"models.{judged[0]}.judge: `{AGREEMENT}` is for a model that is the only step; among several, each "
                "needs a judge that gives it what the steps before it would"
            )
        return self

    @model_validator(mode="after")
    def _known_options(self) -> PipelineSpec:
        for name, options in self.tune.options.items():
            if name not in self.steps:
                raise ValueError(f"tune.options: {name!r} is none of the steps {', '.join(self.steps)}")
            for key in options:
                if key not in self.models[name].options:
                    known = ", ".join(self.models[name].options)
                    raise ValueError(f"tune.options.{name}: {key!r} is none of the model's options {known}")
        return self

    @model_validator(mode="after")
    def _for_its_hardware(self) -> PipelineSpec:
        problem = rules.problem(
            self.hardware, self.device, self.cpp, self.steps, self.engines, self.gate.levels
        )
        if problem:
            raise ValueError(problem)
        return self

    @property
    def hardware(self) -> Hardware:
        """What `target` names."""
        return HARDWARE[self.target]

    @property
    def judged_in(self) -> Optional[str]:
        """The only precision that models are judged in; None: those of `candidates`."""
        return rules.judged_in(self.hardware, self.device, self.cpp)

    @property
    def device_precision(self) -> str:
        """The precision that the device of `target` runs the models in; not for x86-cpu."""
        return rules.precision_on(self.hardware, self.device)

    @property
    def directory(self) -> Path:
        """The pipeline's folder, which the spec was read from."""
        return self._directory

    def placed_in(self, directory: Path) -> PipelineSpec:
        """The same spec, with `directory` as the pipeline's folder."""
        copy = self.model_copy()
        copy._directory = directory.resolve()
        return copy

    def candidates_of(self, model: str) -> tuple[str, ...]:
        """The precisions to try for `model`."""
        return self.models[model].candidates or self.candidates

    def judge_of(self, model: Optional[str] = None) -> tuple[str, dict[str, Any]]:
        """The judge of `model`, or of whole answers, and its options, as `toolkit.evaluation.judges` takes them."""
        judge = self.judge if model is None else self.models[model].judge
        if judge != AGREEMENT or self.agreement is None:
            return judge, dict(self.judge_options)
        return judge, {
            "accepts": self.accepts,
            "request": self.request,
            "request_options": dict(self.request_options),
            "response": None if model is None else self.response,
            **self.agreement.model_dump(),
        }
