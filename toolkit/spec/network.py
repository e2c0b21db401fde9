"""The models of a pipeline: where they come from, and how INT8 candidates of them are made."""

from __future__ import annotations

from typing import Annotated, Any, Optional

from pydantic import Field, field_validator, model_validator
from typing_extensions import Literal

from toolkit.spec.section import Dimension, JudgeReference, Name, Precision, Reference, Section


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
