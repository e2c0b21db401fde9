"""What a pipeline's own code looks like to the toolkit: steps, judges, and how they are loaded from its folder."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Callable

from typing_extensions import Protocol, runtime_checkable

from toolkit.errors import SpecError

if TYPE_CHECKING:
    import numpy as np

    from toolkit.data.labels import Sample
    from toolkit.evaluation.metrics import Counts

Payload = dict[str, Any]
Arrays = Mapping[str, "np.ndarray[Any, Any]"]
# The shape of each array of a feed, by the name of the model's input.
Shapes = Mapping[str, tuple[int, ...]]


class RequestError(Exception):
    """A request that the pipeline refuses, as malformed where no subclass says otherwise.

    `code` is the error number that the protocol carries.
    """

    code = 51


class RequestTooLarge(RequestError):
    """A request whose content is larger than the pipeline takes."""

    code = 52


class Unprocessable(RequestError):
    """A well-formed request whose content cannot be worked on: not an image, a damaged one, one with too much in it."""

    code = 54


class Step(Protocol):
    """One model's work on a request: arrays for the model, and what its outputs mean.

    A payload is a dictionary that grows from step to step. Neither method keeps state in the object, since several
    requests may be in work; `preprocess` may leave in its payload what `postprocess` needs.

    A step may also be `Shaped` and `Padded`, by having the method of that.
    """

    def preprocess(self, payload: Payload) -> list[Arrays]:
        """The feeds for the model, one inference each, by the names of the model's inputs; may be empty."""

    def postprocess(self, payload: Payload, outputs: list[Arrays]) -> Payload:
        """The payload for the next step, from one mapping of output arrays for each feed."""


@runtime_checkable
class Shaped(Protocol):
    """A step that knows which shapes its feeds have: replicas run them once before they take requests."""

    def shapes(self) -> Iterable[Shapes]:
        """The shapes that feeds have, or those of them that matter; the most frequent first."""


@runtime_checkable
class Padded(Protocol):
    """A step that pads to one of a few sizes, which stand in its options; `toolkit shapes` finds the best for data."""

    def sizes(self, payload: Payload) -> Mapping[str, Sequence[int]]:
        """What is in `payload` before it is padded, each under the name of the option that lists what it is padded to.

        The option is an ascending list; what is larger than the last of it counts as that.
        """


class Judge(Protocol):
    """How one model of the pipeline is measured against labels, apart from the models before it."""

    def payload(self, sample: Sample) -> Payload:
        """What the model's step gets for `sample`, with the truth in the place of earlier models' work."""

    def counts(self, sample: Sample, payload: Payload) -> Counts:
        """How much of `sample` the step's result has right."""


def load(directory: Path) -> ModuleType:
    """The folder `directory` as an importable package, of which `resolve` finds objects.

    Its modules import each other relatively. The package's name is derived from the resolved path, so that two
    pipelines, or two releases of one, live in a process side by side. From then on the process leaves no bytecode
    anywhere: a release must not hold more, by having been run, than was released.
    """
    sys.dont_write_bytecode = True
    directory = directory.resolve()
    name = "toolkit_pipeline_" + "".join(char if char.isalnum() else "_" for char in str(directory))
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = [str(directory)]
    package = importlib.util.module_from_spec(spec)
    sys.modules[name] = package
    return package


def resolve(directory: Path, reference: str) -> Any:
    """The object that `reference` (`module:name`) names in the pipeline folder `directory`.

    Raises:
        SpecError: the module cannot be imported, or lacks the name.
    """
    module_name, _, attribute = reference.partition(":")
    package = load(directory)
    try:
        module = importlib.import_module(f"{package.__name__}.{module_name}")
    except ImportError as error:
        raise SpecError(f"cannot import {module_name!r}: {error}", where=str(directory)) from error
    if not hasattr(module, attribute):
        raise SpecError(f"{module_name}.py has no {attribute!r}", where=str(directory))
    return getattr(module, attribute)


def run_step(step: Step, infer: Callable[[Arrays], Arrays], payload: Payload) -> Payload:
    """One step of a request, outside of a service: as the service does it, one inference after the other."""
    return step.postprocess(payload, [infer(feed) for feed in step.preprocess(payload)])
