"""bundle: a release of a version, from what was evaluated and rendered, to be kept, moved and deployed anywhere."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Optional

from toolkit import __version__, cpu, lockfile
from toolkit.bundle import sbom, write
from toolkit.bundle.place import LOCK, RELEASE, REPORT, SBOM
from toolkit.bundle.write import Written
from toolkit.serving import release
from toolkit.serving.release import CONFIG_FILE, MODELS_DIR, MONITORING_DIR, RELEASE_FILE
from toolkit.stages import dataset, device, equalize, export, optimize, quantize, render
from toolkit.stages.context import PACKAGE, Context
from toolkit.stages.evaluate import Outcome
from toolkit.stages.variants import Variant
from toolkit.store import digest
from toolkit.store.artifact import MANIFEST, Artifact

LOCK_FILE = PACKAGE.parent / LOCK


def run(context: Context, outcome: Outcome, version: str, dist: Path, key: Optional[Path] = None) -> Written:
    """The bundle of `version` in `dist`; the same evaluation gives the same bytes.

    Args:
        version: a semantic one.
        key: private key to sign with; None: it is not signed.

    Raises:
        GateError, InconclusiveError: the evaluation lets nothing be served.
        ReleaseError: the version is there already with other content.
    """
    rendered = render.run(context, outcome)
    with context.console.working("bundle", f"{context.spec.name}-{version}"):
        return write.write(
            dist,
            context.spec.name,
            version,
            lambda target: _Bundle(context, outcome, target).fill(rendered, version),
            key,
        )


class _Bundle:
    """One bundle on its way into a directory."""

    def __init__(self, context: Context, outcome: Outcome, target: Path) -> None:
        self.context, self.outcome, self.target = context, outcome, target
        # Directories of the bundle that are releases, and what they serve.
        self.parts = {RELEASE: outcome.chosen}
        self.parts.update({f"{RELEASE}/{place}": models for place, models in outcome.spares.items()})

    def fill(self, rendered: Artifact, version: str) -> dict[str, Any]:
        """Everything but the manifest, of which the content is returned."""
        shutil.copytree(
            rendered.path,
            self.target / RELEASE,
            ignore=shutil.ignore_patterns(MANIFEST, "__pycache__"),
            copy_function=shutil.copyfile,
        )
        shutil.copyfile(LOCK_FILE, self.target / LOCK)
        evaluation = self._write_report()
        pinned = {name: item.version for name, item in lockfile.read(self.target / LOCK).items()}
        chains = {place: self._chains(place, models) for place, models in self.parts.items()}
        models = list(_models(chains, self.parts))
        text = sbom.text(self.context.spec.name, version, pinned, models)
        (self.target / SBOM).write_text(text, encoding="utf-8")
        return {
            "toolkit": __version__,
            "models": {
                name: _model(entry, chains[RELEASE][name]) for name, entry in evaluation["models"].items()
            },
            "end_to_end": evaluation["end_to_end"],
            "cpu": {place: self._needs(place) for place in self.parts},
            "chain": {
                "data": {key: evaluation["data"][key] for key in ("digest", "splits")},
                "pipeline": self.context.pipeline_code(),
                "evaluation": self.outcome.artifact.key,
                "models": chains,
                "configs": {place: self._configs(place) for place in self.parts},
            },
            "environment": {
                "lock": digest.of_file(self.target / LOCK),
                "packages": pinned,
                "python": platform.python_version(),
                "judged_on": evaluation["environment"],
            },
        }

    def _write_report(self) -> Mapping[str, Any]:
        """The report without a path of this machine; the evaluation as it tells it."""
        # Not before it is needed: drawing plots takes seconds to import.
        from toolkit.report import write as report

        result = device.noted(self.context.spec, self.outcome.result)
        portable = {
            **result,
            "data": {**result["data"], "directory": Path(result["data"]["directory"]).name},
            # Images are named relative to the dataset, in which they are found wherever it lies now.
            "gallery": [{**item, "image": item["sample"]} for item in result["gallery"]],
        }
        report.write(portable, self.target / REPORT, dataset.run(self.context).directory)
        return report.as_json(portable)

    def _chains(self, place: str, models: Mapping[str, Variant]) -> dict[str, dict[str, Any]]:
        """By model, what became of it from stage to stage, as digests of content."""
        return {
            name: {**dict(_links(self.context, item)), "convert": self._serving(place, name)}
            for name, item in models.items()
        }

    def _serving(self, place: str, name: str) -> str:
        return digest.of_tree(self.target / place / MODELS_DIR / name)

    def _configs(self, place: str) -> str:
        directory = self.target / place
        files = [directory / CONFIG_FILE, directory / RELEASE_FILE]
        files += digest.files_in(directory / MONITORING_DIR)
        return digest.of_value({path.name: digest.of_file(path) for path in files})

    def _needs(self, place: str) -> dict[str, Any]:
        """Instruction sets without which this part is slow, or not what was judged."""
        level = release.read(self.target / place).level
        return {"level": level, "features": list(cpu.features_of(level)) if level else []}


def _links(context: Context, item: Variant) -> Iterator[tuple[str, Any]]:
    """Each stage that a model passed, with the digest of what it made."""
    name = item.model
    yield "source", digest.of_value(export.source_digest(context, name))
    yield "export", _content(export.run(context, name))
    if item.options.label == "native":
        return
    yield "optimize", _content(optimize.run(context, name))
    if item.recipe is None:
        return
    if item.recipe.equalize:
        yield "equalize", _content(equalize.run(context, name))
    yield "calibrate", _content(quantize.sources(context, name, item.recipe)[1])
    yield "quantize", _content(item.source)


def _content(artifact: Artifact) -> str:
    return digest.of_tree(artifact.path, without=(MANIFEST,))


def _models(
    chains: Mapping[str, Mapping[str, Mapping[str, Any]]], parts: Mapping[str, Mapping[str, Variant]]
) -> Iterator[sbom.Model]:
    for place, models in parts.items():
        for name, item in models.items():
            links = chains[place][name]
            where = f"{place}/{MODELS_DIR}/{name}"
            yield sbom.Model(name, where, item.options.label, links["convert"], links["source"])


def _model(entry: Mapping[str, Any], links: Mapping[str, Any]) -> dict[str, Any]:
    """What is served of a model, as the manifest says it in short; the report has the rest."""
    row = next(row for row in entry["candidates"] if row["label"] == entry["chosen"])
    return {
        "served": entry["chosen"],
        "precision": entry["serving"]["precision"],
        "metric": entry["metric"],
        "verdict": row["verdict"],
        "milliseconds": row["milliseconds"],
        "ratio": row["ratio"],
        "source": links["source"],
        "sha256": links["convert"],
    }
