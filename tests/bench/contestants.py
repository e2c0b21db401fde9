"""What is compared: ways from the bytes of an image to lines of text, on one core."""

from __future__ import annotations

import functools
import multiprocessing
import os
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any

from tests import in_process
from toolkit.engines import files, predictor
from toolkit.engines.options import PredictorOptions
from toolkit.pipeline import Arrays
from toolkit.spec.load import load, source_directory

PIPELINES = Path(__file__).resolve().parents[2] / "pipelines"

# Each has `text` and `box`, four corners in pixels.
Lines = Sequence[Mapping[str, Any]]
Read = Callable[[bytes], Lines]

# Of RapidOCR, by engine: what keeps an inference to one thread.
_ONE_THREAD = {
    "openvino": {"inference_num_threads": 1},
    "onnxruntime": {"intra_op_num_threads": 1, "inter_op_num_threads": 1},
    "paddle": {"cpu_math_library_num_threads": 1},
}


class Missing(Exception):
    """A package that a contestant needs is not installed."""


def of_release(directory: str) -> Read:
    """The pipeline of a rendered release, as a replica runs it."""
    return _lines(in_process.of_release(Path(directory)))


def as_exported(name: str) -> Read:
    """The FP32 models of the pipeline `name` as they came, in oneDNN, and one line in each inference."""
    spec = load(PIPELINES, name)
    options = PredictorOptions(backend="onednn", cache_capacity=spec.serving.cache_capacity)
    steps = []
    for step in spec.steps:
        item = spec.models[step]
        found = files.find(
            source_directory(item.source, spec.directory), item.source.model, item.source.params
        )
        run = functools.partial(_renamed, predictor.create(found, options), item.outputs)
        steps.append((item.step, {**item.options, "batch": 1}, run))
    return _lines(in_process.of_parts(spec.directory, spec, steps))


def rapidocr(engine: str) -> Read:
    """RapidOCR with its own models and settings, without the classifier."""
    try:
        reader = import_module(f"rapidocr_{engine}").RapidOCR(use_cls=False, **_ONE_THREAD[engine])
    except ImportError as error:
        raise Missing(f"rapidocr-{engine} is not installed") from error

    def read(image: bytes) -> Lines:
        found, _ = reader(image, use_cls=False)
        return [{"box": box, "text": text} for box, text, _ in found or ()]

    return read


def _renamed(run: predictor.Predictor, outputs: Sequence[str], feed: Arrays) -> Arrays:
    """An inference by the pipeline's names, of a model that has its own."""
    found = run(dict(zip(run.inputs, feed.values())))
    return dict(zip(outputs, (found[name] for name in run.outputs)))


def _lines(answer: in_process.Answer) -> Read:
    def read(image: bytes) -> Lines:
        lines: Lines = answer(image)["lines"]
        return lines

    return read


class Contestant:
    """A way to read in a process of its own, that stays on one core.

    Args:
        make: gives the way; called in that process.
        argument: what it is called with.

    Raises:
        Missing: a package is not installed.
    """

    def __init__(self, make: Callable[[str], Read], argument: str, core: int) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._connection, there = spawn.Pipe()
        self._process = spawn.Process(target=_serve, args=(there, make, argument, core), daemon=True)
        self._process.start()
        there.close()
        self._answer()

    def __call__(self, image: Path) -> tuple[float, Lines]:
        """Seconds that it took to read the file, and the lines."""
        self._connection.send(image)
        seconds, lines = self._answer()
        return seconds, lines

    def _answer(self) -> Any:
        try:
            answer = self._connection.recv()
        except EOFError as error:
            raise RuntimeError(f"the process ended with {self._process.exitcode}") from error
        if isinstance(answer, Exception):
            raise answer
        return answer

    def __enter__(self) -> Contestant:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()
        self._process.join(10)
        self._process.kill()
        self._process.join()


def _serve(connection: Connection, make: Callable[[str], Read], argument: str, core: int) -> None:
    os.sched_setaffinity(0, {core})
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        read = make(argument)
        connection.send(None)
        while True:
            image = connection.recv().read_bytes()
            began = time.perf_counter()
            lines = read(image)
            seconds = time.perf_counter() - began
            connection.send((seconds, [{"text": line["text"], "box": line["box"]} for line in lines]))
    except (EOFError, KeyboardInterrupt):
        pass
    except Exception as error:
        connection.send(
            error if isinstance(error, Missing) else RuntimeError(f"{type(error).__name__}: {error}")
        )
