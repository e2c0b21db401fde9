"""What a program of Paddle 3 (PIR, a `.json` file) says of itself, without Paddle 3.

The format is that of `paddle/fluid/pir/serialize_deserialize`: operators are `<dialect>.<name>`, where `1` is Paddle's
dialect; a parameter is `p`, with its name as the fourth of its attributes; types are `0.t_dtensor` with element type
and shape.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from toolkit.engines.signature import Tensor
from toolkit.errors import ModelError

_PARAMETER, _INPUT, _OUTPUT = "p", "1.data", "1.fetch"

_DTYPES = {
    "0.t_bool": "bool", "0.t_i8": "int8", "0.t_ui8": "uint8", "0.t_i16": "int16", "0.t_i32": "int32",
    "0.t_i64": "int64", "0.t_f16": "float16", "0.t_bf16": "bfloat16", "0.t_f32": "float32", "0.t_f64": "float64",
}  # fmt: skip


def read(path: Path) -> dict[str, Any]:
    """Inputs, outputs, operators and parameters of the program in the file `path`.

    Returns:
        `version` of the format; `inputs` and `outputs`, each a `Tensor`; `operators`, how many of each type; `shapes`
        of the parameters, by name.

    Raises:
        ModelError: it is no such program, or a damaged one.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        ops = list(_ops(data["program"]))
        produced = {item["%"]: item["TT"] for op in ops for item in _list(op.get("O", ())) if "%" in item}
        return {
            "version": f"format {int(data['base_code']['version'])}",
            "inputs": [_input(op) for op in ops if op["#"] == _INPUT],
            "outputs": [_output(op, produced) for op in ops if op["#"] == _OUTPUT],
            "operators": Counter(_name(op) for op in ops if op["#"] not in (_PARAMETER, _INPUT, _OUTPUT)),
            "shapes": {op["A"][3]: _type("", op["O"]["TT"]).shape for op in ops if op["#"] == _PARAMETER},
        }
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ModelError(
            "the program of Paddle 3 is damaged or truncated",
            where=str(path),
            remedy="copy or export it again",
        ) from error


def _ops(program: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The operators of all regions, those within others too."""
    for region in program["regions"]:
        for block in region["blocks"]:
            for op in block["ops"]:
                yield op
                yield from _ops(op) if "regions" in op else ()


def _list(value: Any) -> Any:
    return value if isinstance(value, (list, tuple)) else [value]


def _name(op: Mapping[str, Any]) -> str:
    return str(op["#"]).partition(".")[2] or str(op["#"])


def _input(op: Mapping[str, Any]) -> Tensor:
    return _type(_attribute(op, "name"), _list(op["O"])[0]["TT"])


def _output(op: Mapping[str, Any], produced: Mapping[int, Any]) -> Tensor:
    return _type(_attribute(op, "name"), produced[_list(op["I"])[0]["%"]])


def _attribute(op: Mapping[str, Any], name: str) -> str:
    return str(next(item["AT"]["D"] for item in op["A"] if item["N"] == name))


def _type(name: str, described: Mapping[str, Any]) -> Tensor:
    element, shape = described["D"][:2]
    return Tensor(name, _DTYPES.get(element["#"], str(element["#"])), tuple(int(size) for size in shape))
