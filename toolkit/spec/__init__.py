"""The pipeline spec: `pipelines/<name>/pipeline.yml`, read into a frozen, validated object."""

from toolkit.spec.load import available, load
from toolkit.spec.model import AGREEMENT, ModelSpec, PipelineSpec

__all__ = ["AGREEMENT", "ModelSpec", "PipelineSpec", "available", "load"]
