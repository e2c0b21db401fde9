"""The ways to run a model: native FP32, which is the reference, and the candidates to take its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Optional

from toolkit import cpu
from toolkit.engines.options import INT8_OPERATORS, PredictorOptions
from toolkit.quantization.recipe import Recipe
from toolkit.stages import export, optimize, quantize
from toolkit.stages.context import Context
from toolkit.store.artifact import Artifact


@dataclass(frozen=True, eq=False)
class Variant:
    """One way to run one model: which files, with which options.

    Attributes:
        recipe: how the INT8 model was made; None for the others.
    """

    model: str
    options: PredictorOptions
    source: Artifact
    recipe: Optional[Recipe] = None

    @property
    def label(self) -> str:
        """As tables show it: `native`, `fp32`, `bf16`, or the recipe in words; and any engine but Paddle's."""
        return self.in_words(self.recipe.label if self.recipe else self.options.label)

    def in_words(self, what: str) -> str:
        """`what` this is, with the engine that runs it behind, if that is not Paddle's."""
        return f"{what} in OpenVINO" if self.engine == "openvino" else what

    @property
    def engine(self) -> str:
        """The engine that runs it: `paddle` or `openvino`."""
        return self.options.engine

    @property
    def name(self) -> str:
        """In file names and progress lines: `det-int8-1f3a`, `det-openvino-int8-1f3a`."""
        suffix = f"-{self.recipe.digest[:4]}" if self.recipe else ""
        return f"{self.model}-{self.kind}{suffix}"

    @property
    def kind(self) -> str:
        """Precision and engine, in file names: `int8`, `openvino-int8`."""
        return f"openvino-{self.options.label}" if self.engine == "openvino" else self.options.label

    def __str__(self) -> str:
        return self.label


def native(context: Context, name: str) -> Variant:
    """The reference: the model as it was exported, in Paddle's own kernels."""
    serving = context.spec.serving
    options = PredictorOptions(threads=serving.threads, cache_capacity=serving.cache_capacity)
    return Variant(name, options, export.run(context, name))


def plain(context: Context, name: str, precision: str) -> Variant:
    """The optimized model in oneDNN, in `fp32` or `bf16`."""
    return Variant(name, _onednn(context, precision), optimize.run(context, name))


def int8(context: Context, name: str, recipe: Recipe) -> Variant:
    """The INT8 model that `recipe` makes.

    Raises:
        ModelError: there is nothing to quantize.
    """
    source = quantize.run(context, name, recipe)
    return Variant(name, _onednn(context, "int8", recipe.rest), source, recipe)


def again(context: Context, name: str, serving: Mapping[str, Any]) -> Variant:
    """The variant that an evaluation recorded.

    Args:
        serving: `precision`, `recipe` and `options`, as `toolkit.stages.rows.serving` has them.
    """
    if serving["precision"] == "native":
        return native(context, name)
    if serving["recipe"] is None:
        found = plain(context, name, serving["precision"])
    else:
        found = int8(context, name, Recipe.from_json(serving["recipe"]))
    return in_openvino(found) if serving["options"]["backend"] == "openvino" else found


def in_openvino(variant: Variant) -> Variant:
    """The same model in the same precision, run by OpenVINO."""
    return replace(variant, options=replace(variant.options, backend="openvino", op_set=()))


def in_all_engines(context: Context, found: Sequence[Variant]) -> list[Variant]:
    """`found`, which Paddle runs, and the same in OpenVINO, where that is to be tried."""
    return [*found, *(in_openvino(item) for item in found if "openvino" in context.engines)]


def floats(context: Context, name: str) -> list[Variant]:
    """The candidates in float that the spec and the options allow, and that this processor has instructions for.

    In OpenVINO too only where INT8 is no candidate: two more to measure for what is hardly ever served.
    """
    wanted = context.candidates_of(name)
    found = [
        plain(context, name, precision)
        for precision in ("fp32", "bf16")
        if precision in wanted and (precision != "bf16" or cpu.supports_bf16())
    ]
    return found if "int8" in wanted else in_all_engines(context, found)


def _onednn(context: Context, precision: str, rest: str = "fp32") -> PredictorOptions:
    serving = context.spec.serving
    return PredictorOptions(
        precision,
        "onednn",
        serving.threads,
        serving.cache_capacity,
        INT8_OPERATORS if precision == "int8" else (),
        rest,
    )
