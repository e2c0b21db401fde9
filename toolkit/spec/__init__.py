"""The pipeline spec: `pipelines/<name>/pipeline.yml`, read into a frozen, validated object."""

from toolkit.spec.load import available, load
from toolkit.spec.network import ModelSpec
from toolkit.spec.pipeline import PipelineSpec
from toolkit.spec.section import AGREEMENT

__all__ = ["AGREEMENT", "ModelSpec", "PipelineSpec", "available", "load"]
