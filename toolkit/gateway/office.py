"""One pipeline at the front door: its desks, which of them requests come to, and what is measured of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable

from toolkit.gateway.catalog import Catalog
from toolkit.gateway.dispatch import Dispatcher
from toolkit.gateway.frontdesk import FrontDesk
from toolkit.gateway.metrics import Metrics
from toolkit.gateway.mirror import Mirror, Pair
from toolkit.gateway.options import GatewayOptions
from toolkit.gateway.pool import Pool
from toolkit.gateway.reception import Reception
from toolkit.gateway.status import ReplicaStatus


class Office:
    """Everything that requests to one pipeline meet, but for ports and connections; for one event loop.

    Args:
        reception: that requests to it come to.
        statuses: of its replicas, for metrics.
        is_stopping: whether the front door takes no more requests.

    Attributes:
        metrics: of all releases that have served.
    """

    def __init__(
        self,
        reception: Reception,
        statuses: Callable[[], Sequence[ReplicaStatus]],
        is_stopping: Callable[[], bool],
    ) -> None:
        self._reception = reception
        self._is_stopping = is_stopping
        self._desks: list[FrontDesk] = []
        self._mirror: Mirror | None = None
        self.metrics = Metrics(
            statuses,
            in_flight=lambda: self.in_flight,
            queued=lambda: sum(desk.waiting for desk in self._desks),
            ready=lambda: reception.ready,
        )

    @property
    def in_flight(self) -> int:
        """Requests that hold a place."""
        return sum(desk.in_flight for desk in self._desks)

    def open(
        self,
        options: GatewayOptions,
        catalog: Catalog,
        pool: Pool,
        places: int,
        is_ready: Callable[[], bool],
    ) -> FrontDesk:
        """A desk for a release, to which no request comes before `shift`.

        Args:
            options: the limits of each request; ports, keys and certificates are those of the gateway.
            pool: the replicas; the caller adds and withdraws them.
            places: requests that all replicas together are given at a time.
            is_ready: asked for every request; must not block.
        """
        desk = FrontDesk(
            options,
            catalog,
            pool,
            Dispatcher(pool, self.metrics),
            places + options.queue,
            lambda: is_ready() and not self._is_stopping(),
        )
        self._desks.append(desk)
        return desk

    def shift(self, desk: FrontDesk) -> None:
        """Give new requests to `desk`; those under way stay with the desk that they came to."""
        self._reception.shift(desk)
        self.metrics.serve(desk.catalog)

    def split(self, desk: FrontDesk | None, percent: float = 0.0) -> None:
        """Give `desk` that share of new predictions, on trial; None: no share. `shift` ends that, too."""
        self._reception.split(desk, percent)

    def mirror(self, first: FrontDesk, second: FrontDesk, share: float, seen: Callable[[Pair], None]) -> None:
        """Have a share, 0..1, of what either of two desks answers asked of the other, too; see `Mirror`."""
        self.mirror_off()
        self._mirror = Mirror(first, second, share, seen, self.metrics)

    def mirror_off(self) -> None:
        """Ask no second desk any more."""
        if self._mirror is not None:
            self._mirror.stop()
            self._mirror = None

    def close(self, desk: FrontDesk) -> None:
        """Forget a desk that takes no requests and has none; nothing to do for one that is forgotten."""
        if desk in self._desks:
            self._desks.remove(desk)
