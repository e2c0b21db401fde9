"""`build/<model>/tuning.yml`: what `make tune` chose, on which machine, in the place of which values of the spec.

It holds for what it was measured on: this many cores, this level of instruction sets, these models, this code and these
other options. And it gives way to whoever edits the spec: where one of the values that it replaces is another by now,
the spec is right.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

import yaml
from pydantic import Field, ValidationError
from typing_extensions import Literal

from toolkit.errors import SpecError
from toolkit.spec.pipeline import PipelineSpec
from toolkit.spec.section import Section
from toolkit.spec.service import ServingSpec

TUNED_FILE = "tuning.yml"

Variant = Literal["release", "fp32"]

_HEADER = """\
# What `make tune` found to be best, and `make deploy` uses. Remove this file to serve by pipeline.yml alone.
"""


class Choice(Section):
    """Values for parts of a spec that change no model.

    Attributes:
        variant: `release`: the models that the gate chose; `fp32`: those of the release's FP32 variant.
        serving: by key of the spec's `serving`.
        options: by model, and key of its `options`.
    """

    variant: Variant = "release"
    serving: dict[str, Any] = Field(default_factory=dict)
    options: dict[str, dict[str, Any]] = Field(default_factory=dict)

    def applied(self, spec: PipelineSpec) -> PipelineSpec:
        """The spec with these values.

        Raises:
            SpecError: `serving` takes no such value.
        """
        models = {
            name: model.model_copy(update={"options": {**model.options, **self.options.get(name, {})}})
            for name, model in spec.models.items()
        }
        return spec.model_copy(update={"models": models, "serving": self._serving(spec)})

    def _serving(self, spec: PipelineSpec) -> ServingSpec:
        try:
            return ServingSpec.model_validate({**spec.serving.model_dump(), **self.serving})
        except ValidationError as error:
            raise SpecError(
                f"what was tuned is no value of `serving`: {error}",
                where=TUNED_FILE,
                remedy="`make tune` writes it anew; or remove it",
            ) from error

    def replaced(self, spec: PipelineSpec) -> Choice:
        """What the spec says in the place of these values."""
        return Choice(
            serving={key: getattr(spec.serving, key, None) for key in self.serving},
            options={
                name: {key: spec.models[name].options.get(key) for key in options}
                for name, options in self.options.items()
                if name in spec.models
            },
        )


class Machine(Section):
    """What was measured on.

    Attributes:
        level: of instruction sets, see `toolkit.cpu.level`.
        cores: that were usable, see `toolkit.cpu.cores`.
    """

    cpu: str
    level: Optional[str]
    cores: int


class Tuned(Section):
    """The content of the file.

    Attributes:
        before: what the spec said in the place of `choice`.
        models: digest of each model that was measured.
        inputs: digest of the pipeline's code, and of the options that were not tuned.
        figures: what was measured, to be read by people.
    """

    choice: Choice
    before: Choice
    machine: Machine
    models: dict[str, str]
    inputs: str
    figures: dict[str, Any] = Field(default_factory=dict)

    def stale(
        self, spec: PipelineSpec, machine: Machine, models: Mapping[str, str], inputs: str
    ) -> Optional[str]:
        """Why it does not hold for these; None: it does.

        Args:
            models: digest of each model of the variant that was chosen; empty: that may not be served.
            inputs: as the file has them.
        """
        if self.machine.cores != machine.cores:
            return f"it was measured on {self.machine.cores} cores, here are {machine.cores}"
        if self.machine.level != machine.level:
            return (
                f"it was measured at the level {self.machine.level}, this processor runs at {machine.level}"
            )
        if not models:
            return (
                f"its {self.choice.variant} variant may not be served: the gate does not pass it any more, or "
                "another precision was asked for"
            )
        if self.models != models:
            return "it was measured with other models than those that the gate chose"
        if self.before != self.choice.replaced(spec):
            return "pipeline.yml has been given another value since in the place of one that was tuned"
        if self.inputs != inputs:
            return (
                "it was measured with other code of the pipeline, or other options of its models or requests"
            )
        return None


def read(path: Path) -> Optional[Tuned]:
    """What was tuned; None: nothing was.

    Raises:
        SpecError: the file cannot be read.
    """
    try:
        return Tuned.model_validate_json(json.dumps(yaml.safe_load(path.read_text(encoding="utf-8"))))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError, ValidationError) as error:
        raise SpecError(
            f"what was tuned cannot be read: {error}",
            where=str(path),
            remedy="`make tune` writes it anew; or remove it",
        ) from error


def text(tuned: Tuned) -> str:
    """The content of the file."""
    return _HEADER + yaml.safe_dump(tuned.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
