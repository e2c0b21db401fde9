"""The software bill of materials: packages of the lock and models of the release, in CycloneDX 1.6.

The same release has the same document: it bears neither a serial number nor a time, which CycloneDX leaves optional.
These stand in the seal.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

_ONE_OF_A_KIND = ("serialNumber",)


@dataclass(frozen=True)
class Model:
    """A model of the release.

    Attributes:
        place: in the release, of its serving directory: `models/det`, `fp32/models/det`.
        sha256: of that directory.
        source: SHA-256 of the model that it was made from.
    """

    name: str
    place: str
    precision: str
    sha256: str
    source: str


def text(name: str, version: str, packages: Mapping[str, str], models: Iterable[Model]) -> str:
    """The document as JSON.

    Args:
        packages: versions by name.
    """
    bom = Bom()
    whole = Component(
        name=name, version=version, type=ComponentType.APPLICATION, bom_ref=f"release:{name}@{version}"
    )
    bom.metadata.component = whole
    parts = [*(_package(*item) for item in packages.items()), *(_model(item) for item in models)]
    bom.components.update(parts)
    bom.register_dependency(whole, parts)
    return _without_chance(json.loads(JsonV1Dot6(bom).output_as_string()))


def _package(name: str, version: str) -> Component:
    purl = PackageURL("pypi", name=name.lower(), version=version)
    return Component(
        name=name, version=version, type=ComponentType.LIBRARY, purl=purl, bom_ref=purl.to_string()
    )


def _model(model: Model) -> Component:
    return Component(
        name=model.name,
        version=model.sha256[:16],
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=f"model:{model.place}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=model.sha256)],
        properties=[
            Property(name="toolkit:directory", value=model.place),
            Property(name="toolkit:precision", value=model.precision),
            Property(name="toolkit:source", value=model.source),
        ],
    )


def _without_chance(document: dict[str, Any]) -> str:
    """Without what is another each time."""
    for key in _ONE_OF_A_KIND:
        document.pop(key, None)
    document["metadata"].pop("timestamp", None)
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
