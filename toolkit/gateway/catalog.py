"""What can be asked for here: the pipeline, and each of its models as tensors."""

from __future__ import annotations

from dataclasses import dataclass, field

from toolkit.content.kinds import Kind


@dataclass(frozen=True)
class TensorInfo:
    """A tensor in the terms of the Open Inference Protocol.

    Attributes:
        datatype: `FP32`, `INT64`, `BYTES`, ...
        shape: -1 for a dimension that varies.
        path: of a pipeline's output, where it is in the JSON answer: `width`, or `lines.text` for the member `text` of
            each item of the list `lines`.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    path: str = ""


@dataclass(frozen=True)
class ModelInfo:
    """One name that requests may use.

    Attributes:
        name: the pipeline's name (`ocr`), or that of one of its models (`ocr.det`).
        kind: `pipeline`: an image, a text or JSON in, the answer out; `model`: tensors in, tensors out.
        precision: what the gate chose (`int8`, `bf16`, `fp32`, `native`); of a pipeline, empty.
        digest: of the model's files, or of the release.
        verdict: the gate's: `pass`, `fail` or `inconclusive`; empty where there is none.
        engine: that runs the model: `paddle` or `openvino`.
        accepts: what requests to a pipeline bring.
    """

    name: str
    kind: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    precision: str = ""
    digest: str = ""
    verdict: str = ""
    engine: str = "paddle"
    accepts: Kind = "image"


@dataclass(frozen=True)
class Catalog:
    """All names, the pipeline's first.

    Attributes:
        release: the name of the release that offers them.
        variant: which of its models answer: `release` or `fp32`.
    """

    models: tuple[ModelInfo, ...] = field(default=())
    release: str = ""
    variant: str = ""

    def find(self, name: str) -> ModelInfo | None:
        """The entry of that name, or None."""
        return next((model for model in self.models if model.name == name), None)

    @property
    def pipeline(self) -> ModelInfo:
        """The pipeline."""
        return next(model for model in self.models if model.kind == "pipeline")
