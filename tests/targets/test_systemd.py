from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.targets.examples import EXAMPLES, text
from toolkit.spec.pipeline import PipelineSpec
from toolkit.targets import files

ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(
    ANALYZE is None, reason="systemd-analyze is missing: install Debian's package `systemd`"
)
# Of ten: what the hardening options leave open. Without them it is 9.6.
EXPOSURE = 2.0


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(ANALYZE), *arguments], capture_output=True, text=True, timeout=60, check=False)


def unit(spec: PipelineSpec, directory: Path) -> Path:
    """The unit of a pipeline, with what it names in `directory`, since systemd looks for that."""
    here = spec.targets.model_copy(update={"directory": str(directory / "serving")})
    rendered = files.render(spec.model_copy(update={"targets": here}), ["systemd"], "1.4.0")
    python = directory / "serving" / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch(0o755)
    (file,) = files.write(rendered, directory)
    return file


@needs_systemd
@pytest.mark.parametrize("name", EXAMPLES)
def test_systemd_accepts_the_unit(name: str, tmp_path: Path) -> None:
    done = analyze("verify", "--man=no", str(unit(EXAMPLES[name], tmp_path)))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_systemd
def test_systemd_refuses_a_unit_that_is_wrong(tmp_path: Path) -> None:
    file = unit(EXAMPLES["ocr"], tmp_path)
    file.write_text(file.read_text().replace("PrivateTmp=yes", "PrivateTemp=yes"))
    assert "PrivateTemp" in analyze("verify", "--man=no", str(file)).stderr


@needs_systemd
def test_little_of_the_machine_is_exposed_to_the_service(tmp_path: Path) -> None:
    file = unit(EXAMPLES["ocr"], tmp_path)
    done = analyze("security", "--offline=yes", f"--threshold={int(EXPOSURE * 10)}", str(file))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("name", "service"), [("ocr", "serving-ocr"), ("small", "serving-small-net")])
def test_systemd_waits_longer_than_the_service_does(name: str, service: str) -> None:
    lines = text(name, f"systemd/{service}.service").splitlines()
    values = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    serving = EXAMPLES[name].serving
    assert float(values["TimeoutStartSec"]) > serving.start_seconds
    assert float(values["TimeoutStopSec"]) > 2 * serving.grace_seconds
    assert (values["Type"], values["NotifyAccess"], values["KillMode"]) == ("notify", "main", "mixed")
