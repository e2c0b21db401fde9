"""The ways to run each model that are worth measuring: which files, with which options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from toolkit import child, cpu
from toolkit.engines.options import PredictorOptions
from toolkit.errors import ChildError, ModelError
from toolkit.stages import export, quantize
from toolkit.stages.context import Context
from toolkit.store.artifact import Artifact


@dataclass(frozen=True, eq=False)
class Variant:
    """One way to run one model: which files, with which options.

    Attributes:
        problem: why there are no such files, so that it cannot be run; `source` is the FP32 model then.
    """

    model: str
    options: PredictorOptions
    source: Artifact
    problem: Optional[str] = None

    @property
    def title(self) -> str:
        """As progress shows it."""
        return f"{self.model}/{self.options.label}"


def all_variants(context: Context) -> dict[str, list[Variant]]:
    """The variants of each model; models are quantized side by side, since PaddleSlim keeps one core busy."""
    with child.parallel(cpu.cores()) as pool:
        return dict(
            zip(context.spec.steps, pool.map(lambda name: variants_of(context, name), context.spec.steps))
        )


def variants_of(context: Context, name: str) -> list[Variant]:
    """The native reference, then the candidates in the order of preference."""
    exported = export.run(context, name)
    reference = Variant(name, options_of(context, name, "native"), exported)
    wanted = [item for item in context.candidates_of(name) if item != "bf16" or cpu.supports_bf16()]
    return [reference] + [
        _int8(context, name, exported)
        if item == "int8"
        else Variant(name, options_of(context, name, item), exported)
        for item in wanted
    ]


def _int8(context: Context, name: str, exported: Artifact) -> Variant:
    """The INT8 variant. That a model cannot be quantized is a result, unless INT8 is all that is wanted."""
    options = options_of(context, name, "int8")
    try:
        return Variant(name, options, quantize.run(context, name))
    except (ModelError, ChildError) as error:
        if context.precision == "int8":
            raise
        return Variant(name, options, exported, error.message)


def options_of(context: Context, name: str, label: str) -> PredictorOptions:
    """The engine settings that `label` stands for; serving takes the same."""
    serving, quantized = context.spec.serving, context.spec.models[name].quantize
    if label == "native":
        return PredictorOptions(threads=serving.threads, cache_capacity=serving.cache_capacity)
    return PredictorOptions(
        label, "onednn", serving.threads, serving.cache_capacity, quantized.kernels if label == "int8" else ()
    )
