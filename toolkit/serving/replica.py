"""A replica: one paddle_serving_server pipeline with thread ops in a process of its own, on a unix socket.

    python -m toolkit.serving.replica RELEASE_DIR SOCKET PARENT_PID MAILBOX WARM_SECONDS

Runs in the directory that it is started in: SOCKET is a file name there, beside it are its pulse and its log.
MAILBOX is an inherited file descriptor, see `toolkit/mailbox.py`. WARM_SECONDS is how long it may warm up at most; 0:
not at all. Ends on SIGTERM, and with the process that started it, however that one ends.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from concurrent import futures
from pathlib import Path
from typing import Any

from toolkit import logs, process
from toolkit.mailbox import Delivery
from toolkit.serving.pulse import Pulse

logger = logging.getLogger(__name__)

LOG = "replica.log"

# A golden inference must find a thread whatever is under way.
_SPARE_THREADS = 4

_MESSAGE_BYTES = 256 * 1024 * 1024

# Of the time to start; the rest is for the golden request.
_WARM_SHARE = 0.5


def main(release_dir: str, socket: str, parent: str, mailbox: str, warm_seconds: str) -> None:
    """Serve until told to stop."""
    began = time.monotonic()
    process.die_with(int(parent))
    # Paddle Serving's op threads do not come back, and every request would wait for them: better to be started anew.
    threading.excepthook = _end
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    server, grace = _start(Path(release_dir), socket, Delivery(int(mailbox)), began, float(warm_seconds))
    logger.info("the replica serves on %s", socket)
    stopping.wait()
    logger.info("the replica stops")
    server.stop(grace).wait()
    # Paddle's and Paddle Serving's threads do not end by themselves.
    logging.shutdown()
    os._exit(0)


def _end(failure: threading.ExceptHookArgs) -> None:
    logger.critical("a thread of the replica ended", exc_info=failure.exc_value)
    logging.shutdown()
    os._exit(1)


def _start(
    directory: Path, socket: str, delivery: Delivery, began: float, warm_seconds: float
) -> tuple[Any, float]:
    import grpc
    from paddle_serving_server.pipeline import pipeline_server

    from toolkit.serving import ops, release
    from toolkit.serving.servicers import pipeline_handlers, tensor_handlers

    _log_to_file()
    plan = release.read(directory)
    config = pipeline_server.ServerYamlConfChecker.load_server_yaml_conf(str(directory / release.CONFIG_FILE))
    deadline = began + _WARM_SHARE * plan.limits.start_seconds
    beat = Pulse(Path(socket).with_suffix(".pulse")).beat
    graph = ops.build(directory, plan, beat, warm_seconds, deadline)
    for op in graph.ops:
        op.init_from_dict(config["op"][op.name])
    server = grpc.server(
        futures.ThreadPoolExecutor(config["worker_num"] + _SPARE_THREADS),
        options=[
            ("grpc.max_send_message_length", _MESSAGE_BYTES),
            ("grpc.max_receive_message_length", _MESSAGE_BYTES),
        ],
    )
    server.add_generic_rpc_handlers(
        (
            pipeline_handlers(plan.name, graph.response, config, delivery),
            tensor_handlers(plan.name, graph.models, delivery),
        )
    )
    server.add_insecure_port(f"unix:{socket}")
    server.start()
    return server, plan.limits.grace_seconds


def _log_to_file() -> None:
    """Our log and Paddle Serving's warnings into one file; its line for every step of a request, nowhere."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    root.addHandler(logs.rotating(Path(LOG)))
    root.setLevel(logging.WARNING)
    logging.getLogger("toolkit").setLevel(logging.INFO)
    logger.setLevel(logging.INFO)


if __name__ == "__main__":
    main(*sys.argv[1:])
