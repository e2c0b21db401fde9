"""The ways to run each model that are worth measuring: which files, with which options."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit import child, cpu
from toolkit.engines.options import PredictorOptions
from toolkit.stages import export, quantize
from toolkit.stages.context import Context
from toolkit.store.artifact import Artifact


@dataclass(frozen=True)
class Variant:
    """One way to run one model: which files, with which options."""

    model: str
    options: PredictorOptions
    source: Artifact

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
        Variant(
            name, options_of(context, name, item), quantize.run(context, name) if item == "int8" else exported
        )
        for item in wanted
    ]


def options_of(context: Context, name: str, label: str) -> PredictorOptions:
    """The engine settings that `label` stands for; serving takes the same."""
    serving, quantized = context.spec.serving, context.spec.models[name].quantize
    if label == "native":
        return PredictorOptions(threads=serving.threads, cache_capacity=serving.cache_capacity)
    return PredictorOptions(
        label, "onednn", serving.threads, serving.cache_capacity, quantized.kernels if label == "int8" else ()
    )
