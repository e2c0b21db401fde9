"""python -m tests.supervisor.replica RELEASE_DIR SOCKET PARENT MAILBOX WARM_SECONDS: a fake replica, as a process.

It has no use for the mailbox: what it is asked is small. Nor has it anything to warm up.
It does what `fake.json` of its release says: `name` of its pipeline, `text` that it reads, `delay` of each answer,
`start` seconds until it is there, `fails`: it ends at once with that exit code, `ends_at`: it ends at the request of
that number.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

from tests.fakes import LINES, FakeReplica
from toolkit import process
from toolkit.serving.pulse import Pulse


def main(release: str, socket: str, parent: str, *_: str) -> None:
    process.die_with(int(parent))
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    plan = json.loads((Path(release) / "fake.json").read_text())
    time.sleep(plan["start"])
    if plan["fails"]:
        print("it was told to fail", file=sys.stderr, flush=True)
        os._exit(plan["fails"])
    pulse = Pulse(Path(socket).with_suffix(".pulse"))
    with FakeReplica(Path(socket), plan["name"]) as fake:
        fake.plan.lines = [{**LINES[0], "text": plan["text"]}]
        fake.plan.delay, fake.plan.timings = plan["delay"], {"stages": {"decode": plan["delay"]}}
        while not stopping.wait(0.02):
            pulse.beat()
            if 0 < plan["ends_at"] <= len(fake.plan.seen):
                os._exit(4)
        fake.stop()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
