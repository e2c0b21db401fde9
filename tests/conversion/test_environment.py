"""Environments made by the real pip, of a package that is written here."""

from __future__ import annotations

import hashlib
import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from toolkit.child import Progress
from toolkit.console import Console
from toolkit.conversion import environment
from toolkit.errors import ChildError
from toolkit.store.artifact import Store


class Interrupted(Console):
    """Somebody presses Ctrl-C when the first package is there."""

    @contextmanager
    def working(self, stage: str, name: str, unit: str = "") -> Iterator[Progress]:
        def interrupt(done: int, total: int) -> None:
            raise KeyboardInterrupt

        yield interrupt


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The lock of one package, which pip finds in a folder."""
    wheel = tmp_path / "wheels" / "tiny-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny.py", "answer = 42\n")
        archive.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        archive.writestr(
            "tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("tiny-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    return locking(tmp_path, hashlib.sha256(wheel.read_bytes()).hexdigest())


def locking(folder: Path, digest: str, version: str = "1.0") -> Path:
    path = folder / "requirements-tiny.lock"
    path.write_text(f"tiny=={version} \\\n    --hash=sha256:{digest}\n")
    return path


def ensure(lock: Path, console: Console) -> Path:
    folder = lock.parent
    return environment.ensure(Store(folder / "store"), lock, folder / "logs" / "environment.log", console)


def run(python: Path, code: str) -> str:
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def failure(lock: Path) -> ChildError:
    with pytest.raises(ChildError) as caught:
        ensure(lock, Console(quiet=True))
    assert not (lock.parent / "store" / environment.STAGE).exists()
    assert list((lock.parent / "store" / "partial").iterdir()) == []
    assert caught.value.where == str(lock.parent / "logs" / "environment.log")
    return caught.value


def test_it_holds_what_the_lock_pins_and_nothing_of_the_toolkit(lock: Path) -> None:
    python = ensure(lock, Console(quiet=True))
    assert run(python, "import tiny; print(tiny.answer)") == "42\n"
    assert "No module named 'click'" in run(python, "import click")


def test_it_is_made_once_with_progress_for_people(lock: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = Console(), Console()
    assert ensure(lock, first) == ensure(lock, second)
    assert (first.ran, second.ran) == (["environment tiny"], [])
    assert "tiny takes 1 packages in an environment of its own" in capsys.readouterr().err


def test_what_was_damaged_since_is_made_anew(lock: Path) -> None:
    python = ensure(lock, Console(quiet=True))
    next(python.parents[1].rglob("tiny.py")).unlink()
    assert run(ensure(lock, Console(quiet=True)), "import tiny; print(tiny.answer)") == "42\n"


def test_an_interrupted_set_up_leaves_nothing_and_the_next_starts_afresh(lock: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        ensure(lock, Interrupted(quiet=True))
    assert list((lock.parent / "store" / "partial").iterdir()) == []
    assert run(ensure(lock, Console(quiet=True)), "import tiny; print(tiny.answer)") == "42\n"


def test_what_users_have_on_their_pythonpath_is_not_run(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, mark = lock.parent / "theirs", lock.parent / "mark"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    ensure(lock, Console(quiet=True))
    assert not mark.exists()


def test_another_file_than_the_locked_one_is_refused(lock: Path) -> None:
    error = failure(locking(lock.parent, "0" * 64))
    assert "pip ended with 1" in error.message
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in error.message
    assert "do not trust that index" in str(error.remedy)


def test_a_package_that_the_index_lacks_is_said_to_be_lacking(lock: Path) -> None:
    error = failure(locking(lock.parent, "0" * 64, version="2.0"))
    assert "the package index lacks a locked package" in str(error.remedy)


def test_an_index_that_is_out_of_reach_is_told_with_what_to_check(
    lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    assert "PIP_INDEX_URL" in str(failure(lock).remedy)
