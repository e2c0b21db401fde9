"""python -m tests.rollouts.paddle PORT IMAGE...: Paddle's own client, asking until its standard input is closed.

Prints a JSON object for each request: image, began, ended, answer (the text) or problem.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any


def main(port: str, *images: str) -> None:
    from paddle_serving_server.pipeline import PipelineClient

    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    client = PipelineClient()
    client.connect([f"127.0.0.1:{port}"])
    files = {name: base64.b64encode(Path(name).read_bytes()).decode() for name in images}
    out = sys.stdout
    for name in itertools.cycle(images):
        if over.is_set():
            return
        began = time.monotonic()
        # It prints the time of every request.
        with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
            told = _ask(client, files[name])
        print(
            json.dumps({"image": Path(name).name, "began": began, "ended": time.monotonic(), **told}),
            file=out,
            flush=True,
        )


def _ask(client: Any, image: str) -> dict[str, str]:
    try:
        answer = client.predict(feed_dict={"image": image, "clientip": "127.0.0.1"}, fetch=["result"])
    except Exception as error:
        return {"problem": f"{type(error).__name__}: {error}"}
    if answer.err_no:
        return {"problem": f"{answer.err_no}: {answer.err_msg}"}
    return {"answer": dict(zip(answer.key, answer.value))["result"]}


if __name__ == "__main__":
    main(*sys.argv[1:])
