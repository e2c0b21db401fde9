"""The C++ server as a service: by the stock command, with a program in the place of the binary.

The program answers brpc's page of health on the port that it is told, and shows what it was given. What the real one
does with it, nobody has seen.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from tests.chaos.service import free_port, processes_of
from tests.serving.test_release import RELEASE
from tests.supervisor.stage import make_release
from toolkit.cli import reach
from toolkit.cli.service import status
from toolkit.errors import ServiceError
from toolkit.gateway import keys
from toolkit.serving import cpp as files
from toolkit.serving import release
from toolkit.supervisor import control
from toolkit.supervisor import state as states
from toolkit.supervisor.deployed import Start, Target
from toolkit.supervisor.settings import Settings
from toolkit.supervisor.switch import switch

PROGRAM = """#!{python}
import json, os, pathlib, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
words = sys.argv[1:]
pathlib.Path("given.json").write_text(json.dumps(words))
{instead}
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()
    def log_message(self, *_):
        pass
HTTPServer(("127.0.0.1", int(words[words.index("-port") + 1])), Handler).serve_forever()
"""

PROTOTXT = (
    'feed_var { name: "x" alias_name: "x" feed_type: 1 shape: 3 }\nfetch_var { name: "y" alias_name: "y" }\n'
)


def program(tmp_path: Path, instead: str = "") -> Path:
    path = tmp_path / "serving"
    path.write_text(PROGRAM.format(python=sys.executable, instead=instead))
    path.chmod(0o755)
    return path


def target(tmp_path: Path, binary: Path, **settings: Any) -> Target:
    directory = tmp_path / "release"
    model = directory / "models" / "net" / "serving_server"
    model.mkdir(parents=True)
    (model / "serving_server_conf.prototxt").write_text(PROTOTXT)
    (model / "model.pdmodel").write_bytes(b"program")
    plan = {**RELEASE, "steps": [], "limits": {**RELEASE["limits"], "start_seconds": 60, "grace_seconds": 3}}
    (directory / release.RELEASE_FILE).write_text(yaml.safe_dump(plan))
    arguments = {
        "model": "models/net/serving_server",
        "thread": 4,
        "cpu_math_thread_num": 1,
        "precision": "fp32",
        "max_body_size": 64 << 20,
        "ir_optim": True,
        "use_mkl": True,
    }
    told = {"binary_sha256": hashlib.sha256(binary.read_bytes()).hexdigest(), "arguments": arguments}
    (directory / files.FILE).write_text(yaml.safe_dump(told))
    ports = {"host": "0.0.0.0", "http_port": free_port(), "grpc_port": free_port()}
    return Target(str(directory), Settings(**{**ports, **settings}))


@pytest.fixture
def binary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = program(tmp_path)
    monkeypatch.setenv(files.VARIABLE, str(path))
    return path


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    home = tmp_path / "home"
    yield home
    control.stop(home)


def test_it_is_started_by_the_stock_command_found_healthy_and_stopped_with_all_its_processes(
    tmp_path: Path, binary: Path, home: Path
) -> None:
    wanted = target(tmp_path, binary)
    before = sorted(path for path in Path(wanted.release).rglob("*"))
    state = control.launch(home, wanted)
    run_dir = Path(state.run_dir)
    words = json.loads((run_dir / "given.json").read_text())
    assert words[words.index("-port") + 1] == str(wanted.settings.http_port)
    assert words[words.index("-precision") + 1] == "fp32"
    assert words[words.index("-num_threads") + 1] == "4"
    (toolkit_of_model,) = run_dir.glob("workdir_*/*/model_toolkit.prototxt")
    text = toolkit_of_model.read_text()
    assert 'model_dir: "models/net/serving_server"' in text
    assert "use_gpu: false" in text
    assert sorted(path for path in Path(wanted.release).rglob("*")) == before, "it writes into a copy"
    assert states.running(home) == state
    assert reach.ready(state)
    assert "not verified" in state.note
    told = CliRunner().invoke(status, ["--model", home.name, "--build", str(home.parent)])
    assert told.exit_code == 0
    assert f"{state.http_url}/GeneralModelService/inference" in told.output
    assert "gRPC" not in told.output
    assert control.stop(home) == state
    assert processes_of(run_dir) == []
    assert not reach.ready(state)


def test_one_that_ends_is_told_with_its_log(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ending = program(tmp_path, "sys.exit('no such model')")
    monkeypatch.setenv(files.VARIABLE, str(ending))
    with pytest.raises(ServiceError, match=r"the C\+\+ server ended with exit code") as caught:
        control.launch(home, target(tmp_path, ending))
    assert "no such model" in caught.value.message
    assert states.running(home) is None


def refusal(home: Path, wanted: Target) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        control.launch(home, wanted)
    assert not (home / "run").exists(), "nothing was started"
    return caught.value


def test_without_its_binary_nothing_is_started_and_nothing_downloaded(
    tmp_path: Path, binary: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = target(tmp_path, binary)
    monkeypatch.delenv(files.VARIABLE)
    assert "nothing is downloaded" in refusal(home, wanted).message


def test_a_binary_that_was_changed_is_not_started(tmp_path: Path, binary: Path, home: Path) -> None:
    wanted = target(tmp_path, binary)
    binary.write_text(binary.read_text() + "# changed\n")
    assert "is another binary" in refusal(home, wanted).message


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"host": "127.0.0.1"}, "listens on all addresses"),
        ({"keys_file": "keys.txt"}, "neither API keys nor TLS"),
    ],
)
def test_settings_that_it_would_pass_over_are_refused(
    settings: dict[str, Any], message: str, tmp_path: Path, binary: Path, home: Path
) -> None:
    assert message in refusal(home, target(tmp_path, binary, **settings)).message


def test_keys_of_the_environment_that_it_would_not_ask_for_are_refused(
    tmp_path: Path, binary: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(keys.VARIABLE, "name:" + "k" * 32)
    assert "neither API keys nor TLS" in refusal(home, target(tmp_path, binary)).message


def test_it_takes_the_place_of_no_service_that_is_verified(tmp_path: Path, binary: Path, home: Path) -> None:
    wanted = target(tmp_path, binary)
    with pytest.raises(ServiceError, match="no golden answers that could verify it"):
        switch(home, wanted, lambda state: None)


def test_it_is_not_served_beside_another_pipeline(
    tmp_path: Path, binary: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.execv", lambda *_: pytest.fail("something is started"))
    other = make_release(tmp_path / "other", "other", name="other")
    mine = Start(home, target(tmp_path, binary))
    beside = Start(tmp_path / "beside", replace(mine.target, release=str(other)))
    for starts in ([mine, beside], [beside, mine]):
        with pytest.raises(ServiceError, match=r"the C\+\+ server serves one pipeline"):
            control.serve(starts)


def test_hardware_that_is_not_here_is_refused_before_anything_is_started(
    tmp_path: Path, binary: Path, home: Path
) -> None:
    wanted = target(tmp_path, binary)
    file = Path(wanted.release) / release.RELEASE_FILE
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), "target": "nvidia-gpu"}))
    assert "this machine cannot run the target nvidia-gpu" in refusal(home, wanted).message
