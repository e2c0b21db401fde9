"""A pipeline outside of a service: from the bytes of an image to the answer, one step after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from toolkit import pipeline
from toolkit.engines import model
from toolkit.serving import release
from toolkit.serving.format import SERVER

Answer = Callable[[bytes], Mapping[str, Any]]

# Of a step: its reference, its options, and the model's inference.
Part = tuple[str, Mapping[str, Any], Any]


def of_release(directory: Path) -> Answer:
    """The pipeline of a rendered release, its models loaded as a replica loads them."""
    plan = release.read(directory)
    parts = [
        (
            item.step,
            item.options,
            model.load(directory / release.MODELS_DIR / item.model / SERVER, item.predictor_options),
        )
        for item in plan.steps
    ]
    return of_parts(directory / release.PIPELINE_DIR, plan, parts)


def of_parts(code: Path, plan: Any, parts: Sequence[Part]) -> Answer:
    """The pipeline whose modules are in `code`; `plan`, a release or a spec, names what decodes and answers."""
    decode, respond = pipeline.resolve(code, plan.request), pipeline.resolve(code, plan.response)
    steps = [(pipeline.resolve(code, reference)(options), run) for reference, options, run in parts]

    def answer(image: bytes) -> Mapping[str, Any]:
        payload = decode({"image": image}, plan.request_options)
        for step, run in steps:
            payload = pipeline.run_step(step, run, payload)
        found: Mapping[str, Any] = respond(payload)
        return found

    return answer
