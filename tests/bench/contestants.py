"""What is compared: ways from the bytes of an image to the pipeline's answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from tests import in_process
from tests.bench.worker import Missing
from toolkit.engines import model
from toolkit.engines.options import PredictorOptions
from toolkit.serving import release

Answer = Mapping[str, Any]
Read = Callable[[bytes], Answer]

# Of RapidOCR, by engine: what keeps an inference to one thread.
_ONE_THREAD = {
    "openvino": {"inference_num_threads": 1},
    "onnxruntime": {"intra_op_num_threads": 1, "inter_op_num_threads": 1},
    "paddle": {"cpu_math_library_num_threads": 1},
}


def timed(make: Callable[..., Read], *arguments: Any) -> Callable[[Path], tuple[float, Answer]]:
    """The way that `make` makes, from an image file on: seconds without reading that, and the answer."""
    read = make(*arguments)

    def do(image: Path) -> tuple[float, Answer]:
        data = image.read_bytes()
        began = time.perf_counter()
        answer = read(data)
        return time.perf_counter() - began, answer

    return do


def of_release(directory: Path) -> Read:
    """The pipeline of a rendered release, as a replica runs it."""
    return in_process.of_release(directory)


def as_exported(directory: Path, models: Mapping[str, Path]) -> Read:
    """The pipeline of a release with the FP32 models as they were exported, in oneDNN, one item in each inference.

    Args:
        models: by step, the model's directory.
    """
    plan = release.read(directory)
    parts = [
        (item.step, alone(item.options), model.load(models[item.name], plain(item.predictor_options)))
        for item in plan.steps
    ]
    return in_process.of_parts(directory / release.PIPELINE_DIR, plan, parts)


def alone(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """A step's options with which it puts nothing together in one inference, if it ever does."""
    return {**options, "batch": 1}


def plain(options: PredictorOptions, backend: str = "onednn") -> PredictorOptions:
    """FP32, with the threads and the cache of `options`."""
    return PredictorOptions(backend=backend, threads=options.threads, cache_capacity=options.cache_capacity)


def rapidocr(engine: str) -> Read:
    """RapidOCR with its own models and settings, without the classifier."""
    try:
        reader = import_module(f"rapidocr_{engine}").RapidOCR(use_cls=False, **_ONE_THREAD[engine])
    except ImportError as error:
        raise Missing(f"rapidocr-{engine} is not installed") from error

    def read(image: bytes) -> Answer:
        found, _ = reader(image, use_cls=False)
        return {"lines": [{"box": box, "text": text} for box, text, _ in found or ()]}

    return read


# Others that do what a pipeline does, by its name: what they are called, the way, and what that is called with.
OTHERS: Mapping[str, list[tuple[str, Callable[..., Read], str]]] = {
    "ocr": [(f"RapidOCR on {engine}", rapidocr, engine) for engine in _ONE_THREAD]
}
