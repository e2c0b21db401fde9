"""What a pipeline spec may say, with its types, defaults and meaning; the JSON schema is made from this."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

from pydantic import Field, PrivateAttr, field_validator, model_validator
from typing_extensions import Literal

from toolkit.content.kinds import Kind
from toolkit.hardware import HARDWARE, Hardware, TargetName
from toolkit.spec import hardware as rules
from toolkit.spec.hardware import CppSpec, DeviceSpec
from toolkit.spec.judging import AgreementSpec, DataSpec, GateSpec, OutputSpec, SearchSpec
from toolkit.spec.network import ModelSpec
from toolkit.spec.section import AGREEMENT, JudgeReference, Name, Precision, Reference, Section
from toolkit.spec.service import CanarySpec, ServingSpec, TargetsSpec, WatchSpec
from toolkit.spec.tune import TuneSpec


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

    def without_labels(self) -> PipelineSpec:
        """The same spec for samples without labels: judged by `agreement`, where that is given for the only step."""
        if self.agreement is None or len(self.steps) > 1:
            return self
        models = {
            name: item.model_copy(update={"judge": AGREEMENT}) if name in self.steps else item
            for name, item in self.models.items()
        }
        return self.model_copy(update={"judge": AGREEMENT, "models": models})

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
