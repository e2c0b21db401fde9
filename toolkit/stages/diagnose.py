"""diagnose: why an INT8 model is what it is: errors and times of layers, exceeded ranges, changed answers."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from toolkit import child, pipeline
from toolkit.child import Progress
from toolkit.data import dataset
from toolkit.engines.collect import Collector
from toolkit.engines.compare import compare
from toolkit.errors import ChildError, ModelError
from toolkit.evaluation import judges
from toolkit.quantization import statistics
from toolkit.quantization.recipe import Recipe
from toolkit.stages import calibrate, measure, quantize
from toolkit.stages.context import PACKAGE, Context
from toolkit.stages.dataset import DatasetRef
from toolkit.stages.judge import Judged
from toolkit.stages.variants import Variant
from toolkit.store.artifact import Artifact

_SAMPLES = 6  # validation images whose ranges are looked at
_BATCHES = 24
_EXCEEDED = 1.2  # times the calibrated range
_WORST = 6  # activations whose histograms are shown
_GALLERY = 12


def run(context: Context, data: DatasetRef, judged: Judged) -> dict[str, Any]:
    """Layers, histograms and exceeded ranges of the INT8 model that is served, or of the one that came furthest."""
    variant = _subject(judged)
    if variant is None:
        return {"layers": [], "histograms": {}, "exceeded": []}
    found = _found(context, data, variant)
    proof = measure.prove(context, variant).info
    fallback = (judged.searched or {}).get("fallback")
    skip = context.spec.models[judged.name].quantize.skip
    layers = _layers(variant, proof, found["errors"], fallback, skip)
    return {
        "layers": layers,
        "histograms": _histograms(context, variant, layers),
        "exceeded": _exceeded(context, variant, found["maxima"]),
    }


def gallery(native: Mapping[str, Any], served: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The samples whose answers changed most, the worst first."""
    rows = zip(
        native["names"],
        native["images"],
        native["counts"],
        served["counts"],
        native["answers"],
        served["answers"],
    )
    changed = [
        {
            "sample": name,
            "image": image,
            "native": before,
            "served": after,
            "lost": max(0, old[0] - new[0]),
            "won": max(0, new[0] - old[0]),
        }
        for name, image, old, new, before, after in rows
        if before != after and old[0] != new[0]
    ]
    return sorted(changed, key=lambda item: (-item["lost"], -item["won"], item["sample"]))[:_GALLERY]


def _subject(judged: Judged) -> Optional[Variant]:
    """What is served or would have been; of INT8 that is not, what lost least."""
    if judged.shown.recipe is not None:
        return judged.shown
    drops = {
        item: verdict.difference.drop
        for item, verdict in judged.verdicts.items()
        if item.recipe is not None and verdict.difference is not None
    }
    return min(drops, key=lambda item: drops[item], default=next(iter(judged.proposals), None))


def _found(context: Context, data: DatasetRef, variant: Variant) -> Mapping[str, Any]:
    """What running it says; nothing of a model that does not run, whose verdict says so."""
    try:
        return _artifact(context, data, variant).info
    except (ModelError, ChildError) as error:
        if isinstance(error, ChildError) and error.ended_from_outside:
            raise
        return {"errors": [], "maxima": {}}


def _sources(context: Context, variant: Variant) -> tuple[Artifact, Artifact]:
    assert variant.recipe is not None
    return quantize.sources(context, variant.model, variant.recipe)


def _artifact(context: Context, data: DatasetRef, variant: Variant) -> Artifact:
    """What has to be run for it: the errors of layers, and the ranges on validation samples."""
    base, calibrated = _sources(context, variant)
    arguments = {
        **context.step_of(variant.model),
        "reference": str(base.path),
        "quantized": str(variant.source.path),
        "feeds": [str(path) for path in sorted(calibrated.path.glob("batch_*.npz"))],
        "data": str(data.directory),
    }
    log = context.logs / f"diagnose-{variant.model}.log"
    return context.artifact(
        "diagnose",
        variant.name,
        {
            "models": [base.key, variant.source.key],
            "data": data.digest,
            "pipeline": context.pipeline_code(),
            "step": [arguments["step"], arguments["judge"]],
        },
        (Path(__file__), PACKAGE / "quantization"),
        lambda target, progress: dict(
            child.call("toolkit.stages.diagnose:look", arguments, log=log, progress=progress)
        ),
    )


def look(
    reference: str,
    quantized: str,
    feeds: Sequence[str],
    pipeline_dir: str,
    step: tuple[str, Mapping[str, Any]],
    judge: tuple[str, Mapping[str, Any]],
    data: str,
    progress: Progress,
) -> dict[str, Any]:
    """In the child: `errors` of layers on calibration batches, `maxima` of activations on validation samples."""
    errors = compare(reference, quantized, feeds, progress)
    stage = pipeline.resolve(Path(pipeline_dir), step[0])(step[1])
    truth = judges.make(pipeline_dir, judge)
    samples = dataset.load(Path(data)).validation
    chosen = samples[:: max(1, len(samples) // _SAMPLES)][:_SAMPLES]
    with tempfile.TemporaryDirectory() as scratch:
        collector = Collector(Path(reference), Path(scratch))
        found = calibrate.batches_of(chosen, lambda item: stage.preprocess(truth.payload(item)), _BATCHES)
        for _, batches in found:
            for feed in batches:
                collector.update(feed)
    maxima = {name: item.absolute_maximum for name, item in collector.statistics.items()}
    return {"errors": errors, "maxima": maxima}


def _layers(
    variant: Variant,
    proof: Mapping[str, Any],
    errors: Sequence[Mapping[str, Any]],
    fallback: Optional[Mapping[str, Any]],
    skip: Sequence[str],
) -> list[dict[str, Any]]:
    ran = {item["name"]: item for item in proof.get("layers", ())}
    strayed = {item["name"]: item for item in errors}
    whole = sum(item["milliseconds"] for item in proof.get("layers", ())) + sum(
        proof.get("others", {}).values()
    )
    return [
        {
            "name": layer["name"],
            "kind": layer["kind"],
            "dtype": ran.get(layer["name"], {}).get("dtype"),
            "macs": ran.get(layer["name"], {}).get("macs"),
            "milliseconds": ran.get(layer["name"], {}).get("milliseconds"),
            "share_of_time": ran.get(layer["name"], {}).get("milliseconds", 0.0) / max(whole, 1e-9),
            "activations": layer["activations"],
            "output_sqnr_db": strayed.get(layer["name"], {}).get("output_sqnr_db"),
            "cosine": strayed.get(layer["name"], {}).get("cosine"),
            "float_because": None if layer["int8"] else why_float(variant.recipe, layer, fallback, skip),
        }
        for layer in variant.source.info["layers"]
    ]


def why_float(
    recipe: Optional[Recipe],
    layer: Mapping[str, Any],
    fallback: Optional[Mapping[str, Any]],
    skip: Sequence[str],
) -> Optional[str]:
    """Why `recipe` does not run a layer in INT8, in words.

    Args:
        layer: `name` and `kind`.
        fallback: the record of the search for layers, if there was one.
        skip: layers that the spec keeps in float.
    """
    if recipe is None:
        return None
    for item in (fallback or {}).get("excluded", ()):
        if layer["name"] in item["layers"] and layer["name"] in recipe.exclude:
            gave = item["gave_back"]
            return f"fallback: gives back {gave:.2f} points" if gave is not None else "fallback"
    if layer["name"] in skip:
        return "named under `quantize.skip`"
    if layer["kind"] not in recipe.kinds:
        return f"the recipe keeps {layer['kind']} in float"
    if layer["name"] in recipe.exclude:
        return (
            "the recipe keeps it in float: its inputs are rounded badly, or the search for layers reverted it"
        )
    return "the engine has no INT8 for it"


def _histograms(
    context: Context, variant: Variant, layers: Sequence[Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Of the activations that lose most to rounding and clipping."""
    known = statistics.load(_sources(context, variant)[1].path / calibrate.STATISTICS)
    thresholds = {
        item["tensor"]: (item["sqnr_db"], item["threshold"])
        for layer in layers
        for item in layer["activations"]
    }
    worst = sorted(thresholds, key=lambda name: thresholds[name][0])[:_WORST]
    found = {}
    for name in worst:
        counts = known[name].histogram.reshape(-1, len(known[name].histogram) // 128).sum(axis=1)
        limit = known[name].width * statistics.BINS
        found[name] = {
            "counts": [int(item) for item in counts],
            "limit": limit,
            "threshold": thresholds[name][1],
        }
    return found


def _exceeded(context: Context, variant: Variant, maxima: Mapping[str, float]) -> list[dict[str, Any]]:
    """Activations that grow larger on validation samples than calibration ever saw."""
    known = statistics.load(_sources(context, variant)[1].path / calibrate.STATISTICS)
    readers: dict[str, list[str]] = {}
    thresholds: dict[str, float] = {}
    for layer in variant.source.info["layers"]:
        for item in layer["activations"]:
            readers.setdefault(item["tensor"], []).append(layer["name"])
            thresholds[item["tensor"]] = item["threshold"]
    found = [
        {
            "tensor": name,
            "threshold": thresholds[name],
            "calibrated": known[name].absolute_maximum,
            "validation": seen,
            "layers": readers[name],
        }
        for name, seen in maxima.items()
        if name in readers and seen > _EXCEEDED * known[name].absolute_maximum
    ]
    return sorted(found, key=lambda item: -item["validation"] / max(item["calibrated"], 1e-9))
