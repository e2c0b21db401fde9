"""Objects of KServe, checked by the types of its Python SDK, which are generated from its API."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_SIMPLE = {"str": str, "int": int, "bool": bool, "float": (int, float)}


class Models:
    """
    Args:
        folder: `kserve/models` of the SDK; it is read and not imported.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def complaints(self, value: Any, model: str, where: str = "") -> Iterator[str]:
        """What is wrong with a value; types of Kubernetes itself are left to others."""
        inner = re.fullmatch(r"(list\[|dict\(str, )(.*)[\])]", model)
        if inner:
            kind = list if model.startswith("list") else dict
            if not isinstance(value, kind):
                yield f"{where}: {value!r} is no {kind.__name__}"
                return
            for key, item in value.items() if isinstance(value, dict) else enumerate(value):
                yield from self.complaints(item, inner.group(2), f"{where}.{key}")
        elif model in _SIMPLE:
            if not isinstance(value, _SIMPLE[model]) or (model != "bool" and isinstance(value, bool)):
                yield f"{where}: {value!r} is no {model}"
        elif (fields := self._fields(model)) is not None:
            for key, item in value.items():
                if key in fields:
                    yield from self.complaints(item, fields[key], f"{where}.{key}")
                else:
                    yield f"{where}.{key} is unknown"

    def _fields(self, model: str) -> Mapping[str, str] | None:
        """Types by the names of JSON; None for a model that is not KServe's."""
        for path in self._folder.glob(f"{model[:8].lower()}*.py"):
            text = path.read_text(encoding="utf-8")
            for item in ast.parse(text).body if f"class {model}(" in text else ():
                if isinstance(item, ast.ClassDef) and item.name == model:
                    types, names = (
                        ast.literal_eval(line.value)
                        for line in item.body
                        if isinstance(line, ast.Assign)
                        and ast.unparse(line.targets[0]) in ("openapi_types", "attribute_map")
                    )
                    return {names[key]: types[key] for key in types}
        return None
