"""A rendered release: all that a service needs, in one directory that can be moved.

config.yml           Paddle Serving's own configuration
release.yml          models, options, steps and limits, as this module reads them
models/<name>/       serving_server/ and serving_client/
pipeline/            the pipeline's own code
golden/              images and the answers that they must get
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from toolkit.engines.options import PredictorOptions
from toolkit.errors import TemplateError

RELEASE_FILE, CONFIG_FILE = "release.yml", "config.yml"
GOLDEN_DIR, GOLDEN_FILE = "golden", "golden.json"
MODELS_DIR, PIPELINE_DIR = "models", "pipeline"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StepRelease(_Part):
    """A model and its pre- and postprocessing."""

    name: str
    model: str
    precision: str
    step: str
    options: dict[str, Any]
    predictor: dict[str, Any]

    @property
    def predictor_options(self) -> PredictorOptions:
        """The engine settings, those that the gate measured with."""
        return PredictorOptions.from_json(self.predictor)


class Limits(_Part):
    """What the service refuses, and how long it waits."""

    max_in_flight: int
    max_body_bytes: int
    deadline_seconds: float
    start_seconds: float
    grace_seconds: float


class Release(_Part):
    """The content of `release.yml`."""

    name: str
    request: str
    response: str
    steps: tuple[StepRelease, ...]
    limits: Limits


def read(directory: Path) -> Release:
    """The release in `directory`.

    Raises:
        TemplateError: `release.yml` is missing or wrong.
    """
    path = directory / RELEASE_FILE
    try:
        return Release.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise TemplateError("this is no rendered release", where=str(path)) from error
    except (yaml.YAMLError, ValidationError) as error:
        raise TemplateError(f"the rendered release is wrong: {error}", where=str(path)) from error


def goldens(directory: Path) -> list[tuple[Path, Mapping[str, Any]]]:
    """Images, and the answers that the gate recorded for them."""
    folder = directory / GOLDEN_DIR
    entries = json.loads((folder / GOLDEN_FILE).read_text(encoding="utf-8"))
    return [(folder / entry["image"], entry["answer"]) for entry in entries]
