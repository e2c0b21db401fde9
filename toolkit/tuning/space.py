"""What may be tried: every combination of the values that a spec's `tune` names and this machine bears.

A parameter is `variant`, a key of `serving`, or `model.key` for a key of a model's options.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolkit.spec import PipelineSpec
from toolkit.spec.tune import TuneServingSpec
from toolkit.spec.tuned import Choice, Variant

VARIANT = "variant"


@dataclass(frozen=True)
class Configuration:
    """One value of each parameter."""

    values: Mapping[str, Any]

    @property
    def key(self) -> str:
        """What tells it from others."""
        return json.dumps(self.values, sort_keys=True)

    @property
    def choice(self) -> Choice:
        """The same as the spec has it."""
        serving: dict[str, Any] = {}
        options: dict[str, dict[str, Any]] = {}
        for name, value in self.values.items():
            model, _, key = name.rpartition(".")
            if model:
                options.setdefault(model, {})[key] = value
            elif name != VARIANT:
                serving[name] = value
        return Choice(variant=self.values[VARIANT], serving=serving, options=options)

    def beside(self, other: Configuration) -> dict[str, Any]:
        """The values that are not those of `other`."""
        return {name: value for name, value in self.values.items() if value != other.values[name]}


@dataclass(frozen=True)
class Space:
    """
    Attributes:
        default: the spec as it is.
        configurations: all of them, the default first.
    """

    default: Configuration
    configurations: Sequence[Configuration]

    def alone(self) -> list[Configuration]:
        """For each value that is not the default's the configuration that has it and else least beside the default."""
        wanted = {
            (name, json.dumps(each.values[name])): None
            for name in self.default.values
            for each in self.configurations
        }
        found = {}
        for name, text in wanted:
            having = [each for each in self.configurations if json.dumps(each.values[name]) == text]
            nearest = min(having, key=lambda each: len(each.beside(self.default)))
            found[nearest.key] = nearest
        return list(found.values())


def of(spec: PipelineSpec, cores: int, variants: Sequence[Variant]) -> Space:
    """The space of a spec on a machine.

    Args:
        cores: more threads in all than these are not tried.
        variants: of the release, that the gate passed; the first is what is served.
    """
    axes: dict[str, list[Any]] = {**dict(_axes(spec)), VARIANT: list(variants)}
    combinations = (dict(zip(axes, values)) for values in itertools.product(*axes.values()))
    every = [Configuration(_resolved(values, cores)) for values in combinations]
    default, *others = every
    fitting = (each for each in others if each.values["replicas"] * each.values["threads"] <= cores)
    return Space(default, list({each.key: each for each in (default, *fitting)}.values()))


def _axes(spec: PipelineSpec) -> Iterator[tuple[str, list[Any]]]:
    """By parameter its values, without those that are there twice; that of the spec first."""
    for key in TuneServingSpec.model_fields:
        yield key, _distinct([getattr(spec.serving, key), *getattr(spec.tune.serving, key)])
    for model, options in spec.tune.options.items():
        for key, values in options.items():
            yield f"{model}.{key}", _distinct([spec.models[model].options[key], *values])


def _distinct(values: Sequence[Any]) -> list[Any]:
    return [value for index, value in enumerate(values) if value not in values[:index]]


def _resolved(values: Mapping[str, Any], cores: int) -> dict[str, Any]:
    """With the number of replicas that the service would take by itself."""
    replicas = values["replicas"] or max(1, cores // values["threads"])
    return {**values, "replicas": replicas}
