"""Programs of Paddle 3 (PIR): made into ONNX by paddle2onnx, kept where that answers as Paddle 3 does, then as ONNX."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from toolkit.console import Console
from toolkit.conversion import onnx, script
from toolkit.conversion.onnx import Converted
from toolkit.conversion.script import Trials, Work
from toolkit.engines.inspection import Inspection
from toolkit.errors import ModelError
from toolkit.store import digest
from toolkit.store.artifact import Store

LOCK = Path(__file__).resolve().parents[2] / "requirements-pir.lock"

_OTHERWISE = (
    "export it again where it was exported, after `export FLAGS_enable_pir_api=0`: paddle.jit.save and "
    "paddle.static.save_inference_model then write a .pdmodel, which this toolkit reads as it is"
)


def convert(found: Inspection, trials: Trials, store: Store, logs: Path, console: Console) -> Converted:
    """The program of Paddle 3 `found` as a model of Paddle 2, from the store or converted now.

    Args:
        trials: shapes of all inputs, for each comparison: of the ONNX model with Paddle 3, and of the result with that.
        logs: directory for what the converters print, and the making of their environments.

    Raises:
        ModelError: it cannot be converted, or its answers differ from those of Paddle 3; a file or a lock is missing.
        ChildError: a converter died, or its environment cannot be made.
    """
    program, weights = Path(found.program), _weights(found)
    files = {path.name: digest.of_file(path) for path in (program, weights)}
    arguments = {"program": program, "weights": weights}
    work = Work("pir", LOCK, program, arguments, files, trials, _OTHERWISE)
    made = script.done(work, store, logs, console)
    between = replace(found, format="onnx", program=str(made.path / "model.onnx"), weights=None)
    converted = onnx.convert(between, trials, store, logs, console, program, _OTHERWISE)
    info = {**converted.info, "pir": dict(made.info)}
    return replace(converted, source=program, sha256=files[program.name], info=info)


def _weights(found: Inspection) -> Path:
    weights = Path(str(found.weights))
    if not weights.is_file():
        raise ModelError(
            f"the model's file {weights.name} is missing, which holds the weights",
            where=str(weights),
            remedy="copy it with the .json file, both as they were exported together",
        )
    return weights
