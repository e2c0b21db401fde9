"""A real service of a configuration, its answers compared with the golden ones, and load phases against it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

import psutil

from toolkit import smoke
from toolkit.client import ClientError, HttpClient
from toolkit.errors import ServiceError, SmokeError
from toolkit.serving import release
from toolkit.supervisor import control
from toolkit.supervisor.deployed import Target
from toolkit.supervisor.settings import Settings
from toolkit.supervisor.state import State
from toolkit.tuning import load
from toolkit.tuning.results import Point, Result
from toolkit.tuning.space import Configuration

# Renders a configuration into an empty directory.
Renderer = Callable[[Configuration, Path], None]

# In a pipeline's folder of the build directory; in that, what services run in, each in a directory of its own.
FOLDER, SCRATCH = "tuning", "scratch"

# The state directory of the service, in its scratch directory.
_HOME = "service"

# More clients have to give so much more throughput for even more to be tried.
_GAIN = 1.03


@dataclass(frozen=True)
class Load:
    """
    Attributes:
        images: files (or texts, or JSON) that are asked for, in turn.
        clients: numbers of clients, rising.
        seconds: of a phase, at least.
    """

    images: list[bytes]
    clients: Sequence[int]
    seconds: float


@dataclass(frozen=True)
class Aim:
    """What a configuration has to reach.

    Attributes:
        clients: of its first load phase.
        p99: milliseconds beyond which answers are too slow; None: not known yet.
        throughput: answers a second that others reach.
    """

    clients: int
    p99: Optional[float] = None
    throughput: float = 0.0

    def too_slow(self, point: Point) -> bool:
        """Whether its answers take too long."""
        return self.p99 is not None and point.p99 > self.p99


class Running:
    """A configuration that is served; see `running`."""

    def __init__(self, state: State, plan: release.Release, demand: Load) -> None:
        self._state, self._plan, self._demand = state, plan, demand

    def check(self, directory: Path) -> None:
        """Ask for the golden images of its release.

        Raises:
            SmokeError: an answer is another than the evaluation recorded.
        """
        with HttpClient(self._state.http_url, self._plan.limits.deadline_seconds) as client:
            for image, expected in release.goldens(directory):
                try:
                    differences = smoke.compare(expected, client.predict(self._plan.name, image).raw)
                except ClientError as error:
                    differences = [str(error)]
                if differences:
                    raise SmokeError(f"{image.name}: {differences[0]}")

    def phase(self, clients: int) -> tuple[Point, Sequence[float]]:
        """See `load.phase`."""
        return self._phase(clients, self._demand.seconds, self._demand.images)

    def _phase(self, clients: int, seconds: float, images: Sequence[bytes]) -> tuple[Point, Sequence[float]]:
        deadline = self._plan.limits.deadline_seconds
        plan = self._plan
        return load.phase(self._state.http_url, plan.name, images, clients, seconds, deadline, plan.accepts)

    def warm(self, replicas: int) -> None:
        """Each replica meets most of the shapes that the images have; what it has to make for them is in no figure."""
        images = self._demand.images
        self._phase(replicas, 0.0, images * replicas)

    def climb(self, aim: Aim) -> list[Point]:
        """Phases with more and more clients, until more gain nothing or make answers too slow.

        Where they are too slow at once, fewer clients are tried, as long as those could reach the throughput.

        Raises:
            SmokeError: a request failed, or had no answer in time with however few clients.
        """
        every = self._demand.clients
        start = max((number for number, clients in enumerate(every) if clients <= aim.clients), default=0)
        points: list[Point] = []
        for clients in every[start:]:
            point = self._point(clients)
            if point is None:
                break
            points.append(point)
            if aim.too_slow(point) or (points[:-1] and point.throughput < _GAIN * points[-2].throughput):
                break
        for clients in reversed(every[:start]):
            if points and (not aim.too_slow(points[0]) or points[0].throughput < aim.throughput):
                break
            point = self._point(clients)
            points[:0] = [point] if point is not None else []
        if not points:
            raise SmokeError("requests have no answer before the deadline, with however few clients")
        return points

    def _point(self, clients: int) -> Optional[Point]:
        """None: a request had no answer in time."""
        try:
            return self.phase(clients)[0]
        except load.TooSlow:
            return None

    def memory(self) -> float:
        """Megabytes of the service with all its processes, and of one more replica where one is to stand by.

        Raises:
            ServiceError: it is gone.
        """
        each: list[float] = []
        with suppress(psutil.NoSuchProcess):
            service = psutil.Process(self._state.pid)
            each = [_megabytes(item) for item in (service, *service.children(recursive=True))]
        if not self._state.alive:  # or a zombie, which takes no memory
            raise ServiceError("the service ended while it was measured")
        stands_by = self._plan.limits.standby == release.FP32 and self._plan.level is not None
        return sum(each) + (max(each[1:], default=0.0) if stands_by else 0.0)


def _megabytes(item: psutil.Process) -> float:
    """Resident memory; of what processes share, each has its part."""
    try:
        return float(item.memory_full_info().pss) / 1e6
    except psutil.NoSuchProcess:
        return 0.0


@contextmanager
def running(scratch: Path, configuration: Configuration, render: Renderer, demand: Load) -> Iterator[Running]:
    """The service of a configuration, on free ports of this machine; it is gone afterwards, with its files.

    Args:
        scratch: a directory of its own for it, which is made.

    Raises:
        ServiceError: it does not start.
        SmokeError: it answers other than the evaluation recorded.
    """
    directory, home = scratch / "release", scratch / _HOME
    shutil.rmtree(scratch, ignore_errors=True)
    directory.mkdir(parents=True)
    try:
        render(configuration, directory)
        state = control.launch(home, Target(str(directory), Settings("127.0.0.1", 0, 0)))
        found = Running(state, release.read(directory), demand)
        found.check(directory)
        found.warm(configuration.values["replicas"])
        yield found
    finally:
        control.stop(home)
        shutil.rmtree(scratch, ignore_errors=True)


def end_all(folder: Path) -> None:
    """End the services whose scratch directories are in `folder`."""
    for home in homes(folder):
        control.stop(home)


def homes(folder: Path) -> list[Path]:
    """The state directories of the services whose scratch directories are in `folder`."""
    return sorted(folder.glob(f"*/{_HOME}"))


def measure(
    scratch: Path,
    configuration: Configuration,
    render: Renderer,
    demand: Load,
    aim: Aim,
) -> Result:
    """All that the search wants to know of a configuration; one that does not start or errs is refused."""
    began = time.monotonic()
    try:
        with running(scratch, configuration, render, demand) as service:
            points = service.climb(aim)
            return Result(configuration, points, service.memory(), seconds=time.monotonic() - began)
    except (ServiceError, SmokeError) as error:
        return Result(configuration, refused=error.message, seconds=time.monotonic() - began)
