"""A model as Paddle 1 wrote them: each weight in a file of its own, and an input with level of detail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.jobs import attempt_all
from toolkit.child import Progress


def write(folder: str, without: str, progress: Progress) -> None:
    """Sums of `x` times `scale.w` over each sequence, and how many rows there are, declared as float32."""
    del progress
    import paddle

    from toolkit.engines import weights

    paddle.enable_static()
    program = paddle.static.Program()
    with paddle.static.program_guard(program):
        x = paddle.static.data("x", [None, 2], "float32", lod_level=1)
        scale = paddle.create_parameter([2], "float32", name="scale.w")
        offset = paddle.create_parameter([2], "float32", name="offset.w")
        sums = paddle.static.nn.sequence_lod.sequence_pool(x * scale + offset, "sum")
        rows = paddle.shape(x)[0].astype("int64").reshape([1])
    found = paddle.static.normalize_program(program, [x], [sums, rows])
    place = Path(folder)
    place.mkdir()
    (place / "__model__").write_bytes(paddle.static.serialize_program([x], [sums, rows], program=found))
    for name, values in (("scale.w", [1, 10]), ("offset.w", [0, 0.5])):
        if name != without:
            weights.write(place / name, {name: np.array(values, np.float32)})


def export(folder: str, progress: Progress) -> dict[str, Any]:
    """Export it, and answer one inference in both backends."""
    from toolkit.engines import export, model
    from toolkit.engines.options import PredictorOptions

    target = Path(folder, "exported")
    target.mkdir()
    made = export.from_directory(
        folder, None, None, str(target), {"rows": [3, 2]}, ["sums", "count"], progress
    )
    feed = {"rows": np.arange(8, dtype=np.float32).reshape(4, 2)}
    answers = [
        {
            name: array.tolist()
            for name, array in model.load(target, PredictorOptions(backend=backend))(feed).items()
        }
        for backend in ("native", "onednn")
    ]
    return {**made, "answers": answers}


def test_weights_are_gathered_and_the_rows_of_an_inference_are_one_sequence(tmp_path: Path) -> None:
    whole, part = str(tmp_path / "whole"), str(tmp_path / "part")
    me = "tests.engines.test_sequences"
    _, exported, _, refused = attempt_all(
        [
            (f"{me}:write", {"folder": whole, "without": ""}),
            (f"{me}:export", {"folder": whole}),
            (f"{me}:write", {"folder": part, "without": "offset.w"}),
            (f"{me}:export", {"folder": part}),
        ],
        tmp_path / "log",
    )
    # One sum, of all rows: a second sequence would have one of its own.
    assert exported["answers"] == [{"sums": [[12.0, 162.0]], "count": [4]}] * 2
    (given,) = exported["signature"]["inputs"]
    assert {**given, "shape": list(given["shape"])} == {
        "name": "rows",
        "dtype": "float32",
        "shape": [-1, 2],
        "lod_level": 1,
    }
    assert "the weights of offset.w are missing" in str(refused)
