"""The lines that are printed for copying, run as they are printed."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.fakes import LINES, FakeReplica, png
from tests.gateway.certificates import Authority
from tests.gateway.harness import Door, options
from tests.gateway.test_kinds import catalog
from tests.serving.test_release import RELEASE
from toolkit.cli import examples
from toolkit.content.kinds import Kind
from toolkit.gateway.tls import Tls
from toolkit.serving.release import GOLDEN_DIR, GOLDEN_FILE, RELEASE_FILE
from toolkit.supervisor.settings import Settings
from toolkit.supervisor.state import State

ROOT = Path(__file__).resolve().parents[2]
KEY = "0123456789abcdef0123"

pytestmark = pytest.mark.skipif(
    not shutil.which("curl") or not shutil.which("openssl"), reason="curl or openssl is missing"
)


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[FakeReplica]:
    with FakeReplica(tmp_path / "r.sock") as fake:
        yield fake


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """With a space in its name."""
    folder = tmp_path / "a release" / GOLDEN_DIR
    folder.mkdir(parents=True)
    (folder / "00.png").write_bytes(png())
    (folder / GOLDEN_FILE).write_text(json.dumps([{"image": "00.png", "answer": {}}]))
    (folder.parent / RELEASE_FILE).write_text(yaml.safe_dump(RELEASE))
    return folder.parent


def run(lines: str, **environ: str) -> tuple[str, str]:
    """What the curl line and the program print."""
    _, _, commands = lines.partition("\n\n")
    assert KEY not in commands
    commands = "\n".join(line for line in commands.splitlines() if not line.startswith("export"))
    curl, _, program = commands.strip().partition("\n\n")
    texts = [
        subprocess.run(
            ["bash", "-c", command],
            cwd=ROOT,
            env={**os.environ, **environ},
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            timeout=60,
        ).stdout
        for command in (curl, program)
    ]
    return texts[0], texts[1]


def test_a_service_of_this_machine_is_asked_without_further_ado(replica: FakeReplica, release: Path) -> None:
    with Door(replica.target) as door:
        settings = Settings("127.0.0.1", door.http_port, door.grpc_port)
        curl, program = run(examples.endpoints(State(1, 0.0, "ocr", str(release), ".", settings)))
    assert json.loads(curl)["lines"] == LINES
    assert ast.literal_eval(program)["lines"] == LINES


@pytest.mark.parametrize(
    ("kind", "content", "got"), [("text", "你好\n", "你好\n"), ("json", '[1, {"x": "é"}]', [1, {"x": "é"}])]
)
def test_a_service_that_takes_no_images_is_asked_with_what_it_takes(
    release: Path, tmp_path: Path, kind: Kind, content: str, got: object
) -> None:
    golden = release / GOLDEN_DIR
    (golden / "00.txt").write_text(content, encoding="utf-8")
    (golden / GOLDEN_FILE).write_text(json.dumps([{"image": "00.txt", "answer": {}}]))
    (release / RELEASE_FILE).write_text(yaml.safe_dump({**RELEASE, "accepts": kind}))
    with (
        FakeReplica(tmp_path / "k.sock", kind=kind) as fake,
        Door(fake.target, catalog=catalog(kind)) as door,
    ):
        settings = Settings("127.0.0.1", door.http_port, door.grpc_port)
        curl, program = run(examples.endpoints(State(1, 0.0, "ocr", str(release), ".", settings)))
    assert json.loads(curl) == {"got": got}
    assert ast.literal_eval(program) == {"got": got}


def test_keys_and_certificates_are_in_the_lines_but_no_key_is_shown(
    replica: FakeReplica, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path / "authority")
    cert, key = authority.issue("service")
    client_cert, client_key = authority.issue("client")
    monkeypatch.setenv("TOOLKIT_CLIENT_CERT", str(client_cert))
    monkeypatch.setenv("TOOLKIT_CLIENT_KEY", str(client_key))
    keys = tmp_path / "keys"
    keys.write_text(f"ci: {KEY}\n")
    keys.chmod(0o600)
    with Door(replica.target, settings=options(keys_file=keys, tls=Tls(cert, key, authority.cert))) as door:
        files = (str(keys), str(cert), str(key), str(authority.cert))
        settings = Settings("127.0.0.1", door.http_port, door.grpc_port, None, *files)
        lines = examples.endpoints(State(1, 0.0, "ocr", str(release), ".", settings))
        curl, program = run(lines, API_KEY=KEY)
    assert json.loads(curl)["lines"] == LINES
    assert ast.literal_eval(program)["lines"] == LINES
