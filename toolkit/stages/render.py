"""render: the release, a directory with all that a service needs, its configs rendered from templates."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable, Optional

from toolkit import templates
from toolkit.doctor import HTTP_PORT
from toolkit.serving import config, cpp, monitoring, release
from toolkit.serving.release import (
    CONFIG_FILE,
    GOLDEN_DIR,
    MODELS_DIR,
    MONITORING_DIR,
    PIPELINE_DIR,
    RELEASE_FILE,
)
from toolkit.spec import PipelineSpec
from toolkit.spec.tuned import Choice
from toolkit.stages import convert, device, export
from toolkit.stages.context import PACKAGE, Context
from toolkit.stages.evaluate import Outcome
from toolkit.stages.variants import Variant
from toolkit.store import digest
from toolkit.store.artifact import Artifact

_CONFIG_TEMPLATE, _RELEASE_TEMPLATE = "serving/config.yml.j2", "serving/release.yml.j2"
_CPP_TEMPLATE = "serving/cpp.yml.j2"

_TEMPLATES = ("serving", "monitoring", "web")

# Of a pipeline's folder.
_NOT_OF_A_RELEASE = shutil.ignore_patterns("__pycache__", "*.pyc", "test_*.py")

# What runs around a release: a change of it, too, starts the service anew with the next deployment.
_SERVICE_CODE = (
    *("serving", "gateway", "supervisor", "client", "content", "oip"),
    *("hardware.py", "logs.py", "mailbox.py", "smoke.py"),
)


@dataclass(frozen=True)
class _Part:
    """A release directory to be: the release itself, or a spare within it.

    Attributes:
        place: in the release; empty for the release itself.
        source: the place in the evaluation of its golden requests.
        outcomes: the verdict on each model: `pass` or `inconclusive`, or empty.
        converted: the serving directories.
        agreement: of its answers with native FP32's; None: not measured.
        options: of the models. Those that were tuned are the release's alone: with them nobody has judged a spare.
    """

    place: str
    source: str
    models: Mapping[str, Variant]
    outcomes: Mapping[str, str]
    converted: Mapping[str, Artifact]
    agreement: Optional[Mapping[str, Any]]
    options: Mapping[str, Mapping[str, Any]]

    def steps(self, context: Context) -> list[dict[str, Any]]:
        return [self._step(context, name) for name in context.spec.steps]

    def level(self, outcome: Outcome) -> Optional[str]:
        """That INT8 and bf16 in it were judged at."""
        if all(item.options.precision == "fp32" for item in self.models.values()):
            return None
        if not outcome.context.spec.hardware.is_default:
            return None
        here: Optional[str] = outcome.result["environment"]["level"]
        return self.place.rpartition("/")[2] or here

    def _step(self, context: Context, name: str) -> dict[str, Any]:
        model = context.spec.models[name]
        options = replace(self.models[name].options, threads=context.spec.serving.threads)
        return {
            "name": name,
            "model": name,
            "precision": options.label,
            "digest": self.converted[name].key,
            "verdict": self.outcomes[name],
            "step": model.step,
            "options": dict(self.options[name]),
            "predictor": options.to_json(),
        }


_AS_THE_SPEC_SAYS = Choice()


def run(context: Context, outcome: Outcome, choice: Choice = _AS_THE_SPEC_SAYS) -> Artifact:
    """The release with the models that were chosen, and its spares.

    Args:
        choice: values in the place of those of the spec, and which variant of the release is the release.

    Raises:
        TemplateError: a template cannot be rendered, or renders what Paddle Serving does not read.
    """
    parts = _parts(context, outcome, choice)
    context = replace(context, spec=choice.applied(context.spec))
    return context.artifact(
        "render",
        context.spec.name,
        {
            "spec": context.spec.model_dump(
                mode="json", exclude={"models", "data", "gate", "candidates", "targets"}
            ),
            "steps": {item.place: item.steps(context) for item in parts},
            "evaluation": outcome.artifact.key,
            "pipeline": context.pipeline_code(),
            "templates": [digest.of_tree(templates.TEMPLATES / name) for name in _TEMPLATES],
            **device.ingredients(context),
        },
        (Path(__file__), Path(device.__file__), *(PACKAGE / name for name in _SERVICE_CODE)),
        lambda target, progress: _render(context, outcome, parts, target),
    )


def write(context: Context, outcome: Outcome, choice: Choice, target: Path) -> None:
    """The release alone, without its spares, into the empty directory `target` instead of the store; as `run`."""
    tuned = replace(context, spec=choice.applied(context.spec))
    _render_part(tuned, outcome, _parts(context, outcome, choice)[0], target)


def _parts(context: Context, outcome: Outcome, choice: Choice) -> list[_Part]:
    """The release itself, and its spares; `context` is without what was chosen."""
    main, *spares = [_main(context, outcome), *_spares(context, outcome)]
    if choice.variant == release.FP32:
        # As with PRECISION=fp32, it is what one would go back to, and what lesser processors run.
        (fp32,) = (part for part in spares if part.place == release.FP32)
        main, spares = replace(fp32, place=""), []
    return [replace(main, options=_options(choice.applied(context.spec))), *spares]


def _options(spec: PipelineSpec) -> dict[str, Mapping[str, Any]]:
    return {name: spec.models[name].options for name in spec.steps}


def _main(context: Context, outcome: Outcome) -> _Part:
    entries = outcome.result["models"]
    rows = {name: {row["label"]: row for row in entry["candidates"]} for name, entry in entries.items()}
    served = {
        name: rows[name].get(entry["chosen"], {}).get("verdict", {}).get("outcome", "")
        for name, entry in entries.items()
    }
    models, agreed = outcome.chosen, outcome.result["end_to_end"]["agreement"]
    return _Part("", "", models, served, _converted(context, models), agreed, _options(context.spec))


def _spares(context: Context, outcome: Outcome) -> Iterator[_Part]:
    options = _options(context.spec)
    for place, models in outcome.spares.items():
        recorded = outcome.result["spares"][place]
        told = {name: entry["outcome"] for name, entry in recorded["models"].items()}
        yield _Part(place, place, models, told, _converted(context, models), recorded["agreement"], options)


def _converted(context: Context, models: Mapping[str, Variant]) -> dict[str, Artifact]:
    return {name: convert.run(context, item) for name, item in models.items()}


def _render(context: Context, outcome: Outcome, parts: Sequence[_Part], target: Path) -> Mapping[str, Any]:
    for part in parts:
        _render_part(context, outcome, part, target / part.place)
    return {
        "steps": {name: variant.options.label for name, variant in parts[0].models.items()},
        "spares": [part.place for part in parts[1:]],
    }


def _render_part(context: Context, outcome: Outcome, part: _Part, target: Path) -> None:
    for name, artifact in part.converted.items():
        shutil.copytree(
            artifact.path, target / MODELS_DIR / name, ignore=shutil.ignore_patterns("manifest.json")
        )
    shutil.copytree(context.spec.directory, target / PIPELINE_DIR, ignore=_left_out(context.spec))
    shutil.copytree(outcome.artifact.path / part.source / GOLDEN_DIR, target / GOLDEN_DIR)
    _render_configs(context, outcome, part, target)
    _render_monitoring(context, target / MONITORING_DIR)


def _left_out(spec: PipelineSpec) -> Callable[[str, list[str]], set[str]]:
    """What `copytree` leaves out of the pipeline's folder: tests, and models, which are in the release as served."""
    models = {path for name in spec.steps for path in export.source_files(spec, name)}

    def has_models_alone(path: Path) -> bool:
        files = [item for item in path.rglob("*") if item.is_file()] if path.is_dir() else [path]
        return bool(files) and models.issuperset(files)

    def ignored(folder: str, names: list[str]) -> set[str]:
        others = {name for name in names if has_models_alone(Path(folder) / name)}
        return {*_NOT_OF_A_RELEASE(folder, names), *others}

    return ignored


def _render_configs(context: Context, outcome: Outcome, part: _Part, target: Path) -> None:
    variables: dict[str, Any] = {
        "spec": context.spec,
        "steps": part.steps(context),
        "level": part.level(outcome),
        "agreement": part.agreement,
        "levels": [] if part.place else _judged_levels(outcome),
        "device": device.of(context, {name: item.options.precision for name, item in part.models.items()}),
    }
    text, parsed = templates.render_yaml(_CONFIG_TEMPLATE, **variables)
    config.check(parsed, where=_CONFIG_TEMPLATE)
    (target / CONFIG_FILE).write_text(text, encoding="utf-8")
    text, _ = templates.render_yaml(_RELEASE_TEMPLATE, **variables)
    (target / RELEASE_FILE).write_text(text, encoding="utf-8")
    release.read(target)
    if context.spec.cpp is not None:
        text, _ = templates.render_yaml(_CPP_TEMPLATE, **variables)
        (target / cpp.FILE).write_text(text, encoding="utf-8")
        cpp.read(target)


def _judged_levels(outcome: Outcome) -> list[str]:
    return sorted({level for entry in outcome.result["models"].values() for level in entry["levels"]})


def _render_monitoring(context: Context, target: Path) -> None:
    spec = context.spec
    target.mkdir()
    for name, text in monitoring.render(spec.name, HTTP_PORT, spec.steps).items():
        (target / name).write_text(text, encoding="utf-8")
