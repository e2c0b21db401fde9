"""Clients that ask for images without a pause, over HTTP and gRPC."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from toolkit.client import ClientError, GrpcClient, HttpClient
from toolkit.supervisor.state import State

TIMEOUT = 60.0


class Load:
    """Runs while the `with` block does.

    Attributes:
        seconds: of each request that was answered.
        problems: why the others were not.
    """

    def __init__(self, state: State, images: Sequence[Path]) -> None:
        self._clients: list[Any] = [
            HttpClient(state.http_url, TIMEOUT),
            GrpcClient(state.grpc_target, TIMEOUT),
        ]
        self._images = images
        self.seconds: list[float] = []
        self.problems: list[str] = []

    def __enter__(self) -> Load:
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(client, number))
            for number, client in enumerate(self._clients)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(TIMEOUT + 10)
            assert not thread.is_alive(), "a request hangs beyond every deadline"
        for client in self._clients:
            client.close()

    def _ask(self, client: Any, first: int) -> None:
        for image in itertools.islice(itertools.cycle(self._images), first, None):
            if self._over.is_set():
                return
            began = time.monotonic()
            try:
                client.predict("ocr", image)
                self.seconds.append(time.monotonic() - began)
            except ClientError as error:
                self.problems.append(f"{type(error).__name__}: {error}")
