"""render: the release, a directory with all that a service needs, its configs rendered from templates."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toolkit import templates
from toolkit.doctor import HTTP_PORT
from toolkit.serving import config, monitoring, release
from toolkit.serving.release import (
    CONFIG_FILE,
    GOLDEN_DIR,
    MODELS_DIR,
    MONITORING_DIR,
    PIPELINE_DIR,
    RELEASE_FILE,
)
from toolkit.stages import convert
from toolkit.stages.context import PACKAGE, Context
from toolkit.stages.evaluate import Outcome
from toolkit.store import digest
from toolkit.store.artifact import Artifact

_CONFIG_TEMPLATE, _RELEASE_TEMPLATE = "serving/config.yml.j2", "serving/release.yml.j2"

_TEMPLATES = ("serving", "monitoring", "web")

# What runs around a release: a change of it, too, starts the service anew with the next deployment.
_SERVICE_CODE = ("serving", "gateway", "supervisor", "client", "oip", "smoke.py", "logs.py")


def run(context: Context, outcome: Outcome) -> Artifact:
    """The release with the models that were chosen.

    Raises:
        TemplateError: a template cannot be rendered, or renders what Paddle Serving does not read.
    """
    converted = {name: convert.run(context, variant) for name, variant in outcome.chosen.items()}
    return context.artifact(
        "render",
        context.spec.name,
        {
            "spec": context.spec.model_dump(
                mode="json", exclude={"models", "data", "gate", "candidates", "targets"}
            ),
            "steps": [_step(outcome, converted, name) for name in context.spec.steps],
            "models": {name: artifact.key for name, artifact in converted.items()},
            "evaluation": outcome.artifact.key,
            "pipeline": context.pipeline_code(),
            "templates": [digest.of_tree(templates.TEMPLATES / name) for name in _TEMPLATES],
        },
        (
            Path(__file__),
            *(PACKAGE / name for name in ("serving", "gateway", "supervisor", "client", "smoke.py")),
        ),
        lambda target, progress: _render(context, outcome, converted, target),
    )


def _step(outcome: Outcome, converted: Mapping[str, Artifact], name: str) -> dict[str, Any]:
    model, options = outcome.context.spec.models[name], outcome.chosen[name].options
    entry = outcome.result["models"][name]
    rows = {row["label"]: row for row in entry["candidates"]}
    return {
        "name": name,
        "model": name,
        "precision": options.label,
        "digest": converted[name].key,
        "verdict": rows.get(entry["chosen"], {}).get("verdict", {}).get("outcome", ""),
        "step": model.step,
        "options": dict(model.options),
        "predictor": options.to_json(),
    }


def _render(
    context: Context, outcome: Outcome, converted: Mapping[str, Artifact], target: Path
) -> Mapping[str, Any]:
    for name, artifact in converted.items():
        shutil.copytree(
            artifact.path, target / MODELS_DIR / name, ignore=shutil.ignore_patterns("manifest.json")
        )
    shutil.copytree(
        context.spec.directory, target / PIPELINE_DIR, ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
    )
    shutil.copytree(outcome.artifact.path / GOLDEN_DIR, target / GOLDEN_DIR)
    _render_configs(context, [_step(outcome, converted, name) for name in context.spec.steps], target)
    _render_monitoring(context, target / MONITORING_DIR)
    return {"steps": {name: variant.options.label for name, variant in outcome.chosen.items()}}


def _render_configs(context: Context, steps: Sequence[Mapping[str, Any]], target: Path) -> None:
    variables: dict[str, Any] = {"spec": context.spec, "steps": steps}
    text, parsed = templates.render_yaml(_CONFIG_TEMPLATE, **variables)
    config.check(parsed, where=_CONFIG_TEMPLATE)
    (target / CONFIG_FILE).write_text(text, encoding="utf-8")
    text, _ = templates.render_yaml(_RELEASE_TEMPLATE, **variables)
    (target / RELEASE_FILE).write_text(text, encoding="utf-8")
    release.read(target)


def _render_monitoring(context: Context, target: Path) -> None:
    spec = context.spec
    target.mkdir()
    for name, text in monitoring.render(spec.name, HTTP_PORT, spec.steps).items():
        (target / name).write_text(text, encoding="utf-8")
