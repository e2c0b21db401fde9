"""What changed from one bundle to another: models, accuracy, latency, configs, packages."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from toolkit.bundle import manifest
from toolkit.bundle.place import Place

Change = dict[str, Any]

# Of a model, in the words of the manifest.
_MODEL = ("served", "precision", "outcome", "source", "sha256")
_ACCURACY = ("value", "drop", "lower", "upper")
_LATENCY = ("milliseconds", "ratio")
_AGREEMENT = ("kind", "path", "classes", "samples", "rate", "high")

# Files of which a person wants to see the lines that changed.
_TEXTS = (".yml", ".py", ".json")


def compare(before: Place, after: Place) -> dict[str, Any]:
    """The differences, empty where there are none.

    Returns:
        `models`, `accuracy` and `latency` by model, each value as `[before, after]`; `end_to_end` and
        `agreement`, that of answers with native FP32's, likewise; `configs`: by file what became of it and, of texts, a
        unified diff; `packages` by name, `null` where a bundle has it not; `cpu`, by part of the release.

    Raises:
        ReleaseError: a manifest is missing or changed.
    """
    old, new = manifest.read(before.manifest), manifest.read(after.manifest)
    was, now = ({name: _flat(item) for name, item in told["models"].items()} for told in (old, new))
    return {
        "before": before.title,
        "after": after.title,
        "models": _by_name(was, now, _MODEL),
        "accuracy": _by_name(was, now, _ACCURACY),
        "latency": _by_name(was, now, _LATENCY),
        "end_to_end": _values(
            _flat(old["end_to_end"]), _flat(new["end_to_end"]), ("native", "served", "drop")
        ),
        "agreement": _values(_agreement(old), _agreement(new), _AGREEMENT),
        "configs": _configs(before, after, old["files"], new["files"]),
        "packages": _all(old["environment"]["packages"], new["environment"]["packages"]),
        "cpu": _all(old["cpu"], new["cpu"]),
    }


def _flat(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The verdict's figures beside the others."""
    return {**entry, **(entry.get("verdict") or {})}


def _agreement(told: Mapping[str, Any]) -> Mapping[str, Any]:
    """Empty where the bundle says nothing of it."""
    return told["end_to_end"].get("agreement") or {}


def _by_name(old: Mapping[str, Any], new: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Change]:
    names = sorted({*old, *new})
    found = {name: _values(old.get(name, {}), new.get(name, {}), keys) for name in names}
    return {name: values for name, values in found.items() if values}


def _values(old: Mapping[str, Any], new: Mapping[str, Any], keys: tuple[str, ...]) -> Change:
    return {key: [old.get(key), new.get(key)] for key in keys if old.get(key) != new.get(key)}


def _all(old: Mapping[str, Any], new: Mapping[str, Any]) -> Change:
    return _values(old, new, tuple(sorted({*old, *new})))


def _configs(
    before: Place, after: Place, old: Mapping[str, Any], new: Mapping[str, Any]
) -> dict[str, Change]:
    """Of configs, the pipeline's code and golden requests; models have their own digests."""
    found = {}
    for name in sorted({*old, *new}):
        if old.get(name) == new.get(name) or not name.startswith("release/") or "/models/" in name:
            continue
        became = "added" if name not in old else "removed" if name not in new else "changed"
        lines = _lines(before, after, name) if became == "changed" and name.endswith(_TEXTS) else []
        found[name] = {"became": became, "lines": lines}
    return found


def _lines(before: Place, after: Place, name: str) -> list[str]:
    old, new = ((item.directory / name).read_text(encoding="utf-8").splitlines() for item in (before, after))
    return list(difflib.unified_diff(old, new, lineterm="", n=0))[2:]
