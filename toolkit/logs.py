"""Log files that do not grow for ever, and that a full disk does not turn into errors."""

from __future__ import annotations

import logging
import os
import shutil
from contextlib import suppress
from logging.handlers import QueueHandler, QueueListener, RotatingFileHandler
from pathlib import Path
from queue import SimpleQueue

_BYTES, _BACKUPS = 10_000_000, 3

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def rotating(path: Path, format: str = FORMAT) -> logging.Handler:
    """A handler that writes `path`, and moves it aside when it has 10 MB; the last three are kept."""
    # What cannot be written is lost; a traceback on standard error would not find room either.
    logging.raiseExceptions = False
    handler = RotatingFileHandler(path, maxBytes=_BYTES, backupCount=_BACKUPS, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter(format))
    return handler


def trim(path: Path) -> None:
    """Empty a file that others append to once it has 10 MB; what it had is beside it then."""
    with suppress(OSError):
        if path.stat().st_size > _BYTES:
            shutil.copyfile(path, path.with_name(f"{path.name}.1"))
            os.truncate(path, 0)


def in_background(logger: logging.Logger, *handlers: logging.Handler) -> QueueListener:
    """Have `logger` hand its records to a thread, since the caller must not wait for a disk; `stop()` flushes them."""
    queue: SimpleQueue[logging.LogRecord] = SimpleQueue()
    logger.addHandler(QueueHandler(queue))
    listener = QueueListener(queue, *handlers)
    listener.start()
    return listener
