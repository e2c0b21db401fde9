"""What a release offers, in the front door's terms."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from toolkit.content.kinds import FIELDS
from toolkit.engines import signature
from toolkit.engines.signature import Tensor
from toolkit.gateway.catalog import Catalog, ModelInfo, TensorInfo
from toolkit.oip import dtypes
from toolkit.serving.format import SERVER
from toolkit.serving.release import MODELS_DIR, RELEASE_FILE, Release, StepRelease
from toolkit.supervisor.deployed import Target


def of(target: Target, plan: Release) -> Catalog:
    """The pipeline of a release, and its models.

    Raises:
        ModelError: the signature of a model cannot be read.
    """
    directory = target.directory
    whole = ModelInfo(
        name=plan.name,
        kind="pipeline",
        inputs=(TensorInfo(FIELDS[plan.accepts], "BYTES", (1,)),),
        outputs=tuple(TensorInfo(item.name, item.datatype, item.shape, item.path) for item in plan.outputs),
        digest=hashlib.sha256((directory / RELEASE_FILE).read_bytes()).hexdigest(),
        accepts=plan.accepts,
    )
    models = (_model(directory, plan.name, step) for step in plan.steps)
    return Catalog((whole, *models), Path(target.release).name, target.variant)


def _model(directory: Path, pipeline: str, step: StepRelease) -> ModelInfo:
    known = signature.read(directory / MODELS_DIR / step.model / SERVER)
    return ModelInfo(
        name=f"{pipeline}.{step.name}",
        kind="model",
        inputs=tuple(_tensor(item) for item in known.inputs),
        outputs=tuple(_tensor(item) for item in known.outputs),
        precision=step.precision,
        digest=step.digest,
        verdict=step.verdict,
        engine=step.predictor_options.engine,
    )


def _tensor(tensor: Tensor) -> TensorInfo:
    return TensorInfo(tensor.name, dtypes.of(np.empty(0, tensor.dtype)).name, tensor.shape)
