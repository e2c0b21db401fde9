"""python -m tests.bench [--release DIR] [--data DIR] [--parts models,pipelines,...] [--images N] [--rounds N] [--json]

What a rendered release is worth in time, each part against something, in turn in one run:

stages     the toolkit's stages: cold, as the artifacts have it, and with nothing to do
models     each model by itself: native FP32 and oneDNN FP32 as exported, what is served, its FP32 variant; one core
pipelines  the whole pipeline in process on one core: the release, its FP32 variant, the models as exported, and others
           where they are installed (`pip install rapidocr-openvino rapidocr-onnxruntime`)
service    the service through HTTP and gRPC at 1, 2, 4, 8 and 16 clients, and whether all answers are equal; and
           saturated, against as many pipelines in process as it has replicas
stock      the service against Paddle Serving 0.9's own pipeline with the models as exported, saturated

With --data, a directory with validation.txt, these images are taken, and the share of results that is right stands
beside; without it the golden images of the release.

Exits with 1 if a part failed, which is told at the end, with 2 if there is nothing to measure.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests import rendered
from tests.bench import models, pipelines, report, saturation, service, stages, targets
from tests.bench.stock import compare as stock
from tests.chaos.service import Service, running
from toolkit import cpu
from toolkit.console import Console
from toolkit.data import labels
from toolkit.data.labels import Sample
from toolkit.errors import ToolkitError
from toolkit.serving import release
from toolkit.spec import PipelineSpec, load
from toolkit.stages import export
from toolkit.stages.context import Context

PIPELINES = Path(__file__).resolve().parents[2] / "pipelines"
# In this order: what stages take is measured before a service runs.
PARTS = ("stages", "models", "pipelines", "service", "stock")

# Of the stock service an image takes many seconds, so there are few, which both services are asked.
_STOCK_IMAGES = 4


def main(argv: list[str] | None = None) -> int:
    """Measure; the exit code."""
    options = _options(argv)
    # The stock service, for one, would be left behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        found = run(options)
    except ToolkitError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; what was started is stopped", file=sys.stderr)
        return 130
    print(json.dumps(found, indent=2) if options.json else "\n".join(report.text(found)))
    return 1 if found["failed"] else 0


def run(options: argparse.Namespace) -> dict[str, Any]:
    """All figures of the parts that were asked for."""
    began, load_before = time.monotonic(), os.getloadavg()[0]
    bench = _Bench(options)
    found: dict[str, Any] = {}
    with ExitStack() as stack:
        for part in (part for part in PARTS if part in options.parts):
            with bench.tried(part):
                found.update(getattr(bench, part)(stack))
    return {
        "machine": {
            "cpu": cpu.model(),
            "level": cpu.level(),
            "bf16": cpu.supports_bf16(),
            "cores": cpu.cores(),
            "load": load_before,
        },
        "release": str(options.release),
        "images": len(bench.samples),
        "rounds": options.rounds,
        "seconds": time.monotonic() - began,
        **found,
        "targets": list(targets.rows(options.model, found)),
        "missing": bench.missing,
        "failed": bench.failed,
    }


class _Bench:
    """The parts, each by its name; what they share is made once."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._release: Path = options.release
        self._spec: PipelineSpec = load(PIPELINES, options.model)
        self.samples = _samples(options)
        self._images = [sample.image for sample in self.samples]
        self._cores = sorted(os.sched_getaffinity(0))
        self._service: Service | None = None
        self.missing: list[str] = []
        self.failed: dict[str, str] = {}
        context = Context(self._spec, options.build.resolve(), None, None, Console(quiet=True))
        steps = [item.name for item in release.read(self._release).steps]
        self._exports = {name: export.run(context, name).path for name in steps}

    @contextmanager
    def tried(self, what: str) -> Iterator[None]:
        """Note that something failed, and go on: what else was measured in many minutes is worth telling."""
        try:
            yield
        except Exception as error:
            self.failed[what] = f"{type(error).__name__}: {error}"

    def models(self, stack: ExitStack) -> dict[str, Any]:
        """Each model by itself."""
        found = models.run(
            self._release, self._exports, self._images, self._options.rounds, self._cores[-1], _say
        )
        return {"models": found}

    def pipelines(self, stack: ExitStack) -> dict[str, Any]:
        """The whole in process."""
        found = pipelines.run(
            self._release,
            self._spec,
            self._exports,
            self.samples,
            # Golden images have no labels.
            any(sample.lines for sample in self.samples),
            self._options.rounds,
            self._cores[-1],
            _say,
        )
        self.missing += found.pop("missing")
        return {"pipelines": found}

    def service(self, stack: ExitStack) -> dict[str, Any]:
        """The service with more and more clients, and saturated against its pipeline in process."""
        options, running_ = self._options, self._running(stack)
        return {
            "service": service.run(
                running_, self._images, options.concurrency, options.seconds, options.rounds, _say
            ),
            "saturated": saturation.compare(
                running_,
                self._release,
                self._images,
                self._cores,
                options.clients,
                options.seconds,
                options.rounds,
                _say,
            ),
        }

    def stock(self, stack: ExitStack) -> dict[str, Any]:
        """Against Paddle Serving's own pipeline."""
        options = self._options
        if self._spec.name not in stock.PIPELINES:
            self.missing.append(f"stock: Paddle Serving has no pipeline of its own for {self._spec.name}")
            return {}
        ours, found = self._running(stack), {}
        for name, onednn in stock.SETTINGS.items():
            _say(f"the stock service, {name}")
            with self.tried(f"stock, {name}"):
                found[name] = stock.run(
                    ours,
                    self._spec,
                    self._exports,
                    self._images[:_STOCK_IMAGES],
                    onednn,
                    options.clients,
                    options.seconds,
                    options.rounds,
                )
        return {"stock": found}

    def stages(self, stack: ExitStack) -> dict[str, Any]:
        """Cold and with nothing to do."""
        options = self._options
        cold = stages.cold(options.build / "store", self._spec.name)
        if cold is None:
            self.missing.append(
                "stages, cold: the store has no whole run with recorded times; `make clean deploy`"
            )
        idle = stages.idle(self._spec, options.build, options.data, _say)
        if idle is None:
            self.missing.append(
                "stages, nothing to do: the store has no finished evaluation; `make evaluate`"
            )
        return {"stages": {"cold": cold, "idle": idle}}

    def _running(self, stack: ExitStack) -> Service:
        """The service of the release, one replica for each core, each of which has met all images."""
        if self._service is None:
            _say("starting the service")
            self._service = stack.enter_context(running(self._release, len(self._cores)))
            service.warm(self._service, self._images)
        return self._service


def _samples(options: argparse.Namespace) -> list[Sample]:
    if options.data:
        return list(labels.read(options.data / "validation.txt"))[: options.images]
    goldens = release.goldens(options.release)
    return [Sample(path.name, path, ()) for path, _ in goldens][: options.images]


def _say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


def _parts(text: str) -> list[str]:
    parts = text.split(",")
    unknown = sorted(set(parts) - set(PARTS))
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not one of {', '.join(PARTS)}")
    return parts


def _numbers(text: str) -> list[int]:
    numbers = [int(number) for number in text.split(",")]
    if min(numbers) < 1:
        raise argparse.ArgumentTypeError("numbers of clients are above 0")
    return numbers


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = rendered.parser("python -m tests.bench", __doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--data", type=Path, help="directory with validation.txt; default: the golden images")
    parser.add_argument(
        "--parts", type=_parts, default=list(PARTS), help=f"of {','.join(PARTS)}; default: all"
    )
    parser.add_argument("--images", type=int, default=10, help="at most so many")
    parser.add_argument("--rounds", type=int, default=2, help="of everything that is compared in turn")
    parser.add_argument(
        "--seconds", type=float, default=6, help="of each measurement of a service, in each round, at least"
    )
    parser.add_argument("--clients", type=int, default=4, help="of a saturated service")
    parser.add_argument(
        "--concurrency", type=_numbers, default=[1, 2, 4, 8, 16], help="numbers of clients: 1,2,4,8,16"
    )
    options = rendered.parsed(parser, argv, "images", "rounds", "seconds", "clients")
    if options.data and not (options.data / "validation.txt").is_file():
        parser.error(f"there is no {options.data / 'validation.txt'}")
    return options


if __name__ == "__main__":
    sys.exit(main())
