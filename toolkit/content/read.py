"""Content as a pipeline's `request` function gets it: read and checked as far as its kind says what it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Union

import pydantic_core

from toolkit.content.kinds import FIELDS, Kind

# More would take long to read, and nobody else is served meanwhile; as bytes of tensors they are read at once.
MAX_VALUES = 2_000_000

Value = Union[dict[str, Any], list[Any]]


class ContentError(Exception):
    """It is not of its kind; the message says why, and begins with the name of the field."""


def fields(kind: Kind, given: Mapping[str, Union[str, bytes]]) -> Mapping[str, Any]:
    """The fields of a request, with that of its kind read: `text` a str, `inputs` a dict or list.

    An image is left as it came, as bytes or base64; the pipeline's own code knows which formats it takes.

    Raises:
        ContentError: it is missing, or not of its kind.
    """
    if kind == "image":
        return given
    field = FIELDS[kind]
    if field not in given:
        raise ContentError(f"the request has no field `{field}`")
    return {**given, field: text(given[field]) if kind == "text" else value(given[field])}


def text(data: Union[str, bytes]) -> str:
    """A text, given as such or in UTF-8.

    Raises:
        ContentError: it is not UTF-8, or empty.
    """
    try:
        found = data if isinstance(data, str) else data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ContentError(f"`text` is not UTF-8: {error.reason} at byte {error.start}") from error
    if not found:
        raise ContentError("`text` is empty")
    return found


def value(data: Union[str, bytes]) -> Value:
    """The object or array that JSON text says.

    Raises:
        ContentError: it is neither an object nor an array; see `parse` for others.
    """
    found = parse(data, "`inputs`")
    if not isinstance(found, (dict, list)):
        raise ContentError("`inputs` is neither a JSON object nor an array")
    return found


def parse(data: Union[str, bytes], what: str) -> Any:
    """Parsed JSON, without NaN and infinities; nested 200 levels deep at most.

    Args:
        what: it is, for messages.

    Raises:
        ContentError: it is not JSON, has more than `MAX_VALUES` values, or a number beyond those of 64 bits.
    """
    commas = data.count(",") if isinstance(data, str) else data.count(b",")
    if commas >= MAX_VALUES:
        raise ContentError(
            f"{what} has more than {MAX_VALUES:,} commas, so many values are not taken as JSON"
        )
    try:
        found = pydantic_core.from_json(data, allow_inf_nan=False)
    except ValueError as error:
        raise ContentError(f"{what} is not JSON: {error}") from error
    if _has_infinity(found):
        raise ContentError(f"{what} has a number beyond those of 64 bits")
    return found


def _has_infinity(found: Any) -> bool:
    """JSON has no such numbers, but 1e999 is read as one; looked for in what is written of it, since that is fast."""
    written = pydantic_core.to_json(found, inf_nan_mode="constants")
    return b"Infinity" in written and written != pydantic_core.to_json(found, inf_nan_mode="null")
