"""A model directory of ours: `model.pdmodel`, `model.pdiparams`, `signature.json`."""

from __future__ import annotations

from pathlib import Path

from toolkit.engines import predictor
from toolkit.engines.files import ModelFiles
from toolkit.engines.options import PredictorOptions

MODEL_FILE = "model.pdmodel"
PARAMS_FILE = "model.pdiparams"


def files_in(directory: Path) -> ModelFiles:
    """The two files of the model in `directory`, which need not be there yet."""
    return ModelFiles(directory / MODEL_FILE, directory / PARAMS_FILE)


def load(directory: Path, options: PredictorOptions) -> predictor.Predictor:
    """The model in `directory`, ready to run as `options` say.

    Raises:
        ModelError: the model cannot be loaded.
    """
    return predictor.create(files_in(directory), options)
