from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from tests.spec.test_load import SPEC, pipeline_folder
from toolkit import doctor, process
from toolkit.cli.doctor import doctor as command
from toolkit.doctor import GIB, Check
from toolkit.hardware import HARDWARE

LOCK = "numpy==1.26.4 \\\n    --hash=sha256:aa\n    # via x\ntypes-pyyaml==6.0 \\\n    --hash=sha256:bb\n"


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "requirements.lock"
    path.write_text(LOCK)
    return path


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_linux_on_x86_64_is_the_only_platform() -> None:
    assert doctor.check_platform("Linux", "x86_64").status == "ok"
    for system, machine in (("Linux", "aarch64"), ("Darwin", "x86_64"), ("Windows", "AMD64")):
        check = doctor.check_platform(system, machine)
        assert (check.status, check.found) == ("fail", f"{system} on {machine}")


def test_python_39_is_the_only_version() -> None:
    assert doctor.check_python((3, 9, 18)) == Check("python", "ok", "3.9.18")
    for version in ((3, 8, 19), (3, 10, 1), (2, 9, 0)):
        check = doctor.check_python(version)
        assert check.status == "fail"
        assert "make setup" in check.remedy


def test_an_environment_as_locked_is_fine(lock: Path) -> None:
    check = doctor.check_lock(lock, {"numpy": "1.26.4", "types-pyyaml": "6.0", "more": "1"})
    assert check == Check("lock", "ok", "all 2 packages in the locked version")


def test_packages_that_differ_from_the_lock_are_named(lock: Path) -> None:
    check = doctor.check_lock(lock, {"numpy": "2.0.0"})
    assert check.status == "fail"
    assert check.found == "numpy 2.0.0 instead of 1.26.4; types-pyyaml missing instead of 6.0"


def test_many_packages_that_differ_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "requirements.lock"
    path.write_text("".join(f"p{number}==1 \\\n" for number in range(8)))
    assert doctor.check_lock(path, {}).found.endswith("; p4 missing instead of 1; and 3 more")


def test_without_a_lock_the_versions_are_unknown_but_may_work(tmp_path: Path) -> None:
    assert doctor.check_lock(tmp_path / "requirements.lock", {}).status == "warn"


def test_the_versions_of_this_environment_are_found_under_normalized_names() -> None:
    versions = doctor.installed()
    assert versions["numpy"].startswith("1.")
    assert "types-pyyaml" in versions
    assert "jinja2" in versions


def test_this_environment_is_as_the_lock_of_this_checkout_has_it() -> None:
    assert doctor.check_lock(doctor.LOCK, doctor.installed()).status == "ok"


def test_a_processor_with_everything_has_nothing_to_explain() -> None:
    checks = doctor.check_cpu(frozenset({"avx2", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8"}))
    assert [(check.status, check.meaning) for check in checks] == [("ok", "")] * 4
    assert checks[3].found == "amx_int8, amx_tile"


def test_each_instruction_set_that_is_missing_is_explained() -> None:
    avx2, vnni, bf16, amx = doctor.check_cpu(frozenset())
    assert [check.status for check in (avx2, vnni, bf16, amx)] == ["warn", "warn", "warn", "ok"]
    assert "INT8 runs, but slower and with other numbers" in vnni.meaning
    assert "left out of the candidates" in bf16.meaning
    assert "Nothing is lost but the speed" in amx.meaning


def test_bf16_of_amx_is_as_good_as_that_of_avx512() -> None:
    bf16 = doctor.check_cpu(frozenset({"amx_bf16"}))[2]
    assert (bf16.status, bf16.found) == ("ok", "amx_bf16")


def test_one_core_is_too_few_for_good_latencies() -> None:
    assert doctor.check_cores(1).status == "warn"
    assert doctor.check_cores(2).status == "ok"


@pytest.mark.parametrize(
    ("available", "status"), [(8 * GIB, "ok"), (4 * GIB, "ok"), (3 * GIB, "warn"), (GIB, "fail")]
)
def test_memory(available: int, status: str) -> None:
    assert doctor.check_memory(available).status == status


def test_available_memory_is_bounded_by_the_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  9000 kB\nMemFree:  10 kB\nMemAvailable:    2000 kB\n")
    monkeypatch.setattr("toolkit.cgroup.memory_left", lambda: None)
    assert doctor.memory_available(meminfo) == 2000 * 1024
    monkeypatch.setattr("toolkit.cgroup.memory_left", lambda: 5)
    assert doctor.memory_available(meminfo) == 5


@pytest.mark.parametrize(("free_bytes", "status"), [(9 * GIB, "ok"), (2 * GIB, "warn"), (GIB // 2, "fail")])
def test_disk_space_is_that_of_the_folder_the_build_would_be_made_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_bytes: int, status: str
) -> None:
    asked = []
    monkeypatch.setattr(
        "shutil.disk_usage", lambda path: asked.append(path) or SimpleNamespace(free=free_bytes)
    )
    assert doctor.check_disk(tmp_path / "not/there/yet").status == status
    assert asked == [tmp_path]


def test_a_build_below_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    check = doctor.check_disk(tmp_path / "file/build")
    assert check.status == "fail"
    assert "cannot be written" in check.found


def test_a_free_port_is_fine(free: int) -> None:
    assert doctor.check_port("127.0.0.1", free, "http port") == Check(
        "http port", "ok", f"127.0.0.1:{free} is free"
    )


def test_a_taken_port_is_a_warning_that_names_the_variable(taken: int) -> None:
    check = doctor.check_port("127.0.0.1", taken, "grpc port")
    assert check.status == "warn"
    assert check.found == f"127.0.0.1:{taken} is taken"
    assert "GRPC_PORT=" in check.remedy


def test_a_port_whose_connections_are_just_being_closed_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = server.accept()
        accepted.close()  # the side that closes first keeps the port in TIME_WAIT
        client.close()
    assert doctor.check_port("127.0.0.1", port, "http port").status == "ok"


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_a_host_that_is_not_this_machine_is_a_failure(host: str, free: int) -> None:
    check = doctor.check_port(host, free, "http port")
    assert check.status == "fail"
    assert "HOST=127.0.0.1" in check.remedy


def test_a_port_kept_for_root_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    check = doctor.check_port("127.0.0.1", 80, "http port")
    assert (check.status, check.found) == ("fail", "127.0.0.1:80: Permission denied")


def test_both_protocols_on_one_port_are_a_failure(free: int) -> None:
    *_, same = doctor.check_ports("127.0.0.1", {"http port": free, "grpc port": free})
    assert (same.status, same.found) == ("fail", "http port and grpc port are the same")


def test_two_ports_are_two_checks(free: int, taken: int) -> None:
    checks = doctor.check_ports("127.0.0.1", {"http port": free, "grpc port": taken})
    assert [check.status for check in checks] == ["ok", "warn"]


def test_a_module_that_can_be_imported_is_fine() -> None:
    assert doctor.check_import("json.decoder") == Check("import json", "ok", "works")


def test_a_module_that_is_missing_is_a_failure_with_the_last_line_of_the_traceback() -> None:
    check = doctor.check_import("no_such_module")
    assert check.status == "fail"
    assert check.found == "exit code 1: ModuleNotFoundError: No module named 'no_such_module'"


@pytest.mark.parametrize(
    ("returncode", "found"),
    [(-4, "ended by an illegal instruction"), (-11, "signal 11"), (1, "exit code 1: cannot open libGL.so")],
)
def test_a_crash_while_importing_is_told_apart(
    monkeypatch: pytest.MonkeyPatch, returncode: int, found: str
) -> None:
    stderr = "" if returncode < 0 else "Traceback\ncannot open libGL.so\n"
    monkeypatch.setattr(process, "run", lambda *_, **__: process.Completed(returncode, "", stderr))
    check = doctor.check_import("paddle")
    assert (check.status, check.found) == ("fail", found)


def test_an_import_that_hangs_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: object, **__: object) -> process.Completed:
        raise subprocess.TimeoutExpired("python", 1)

    monkeypatch.setattr(process, "run", hang)
    assert doctor.check_import("paddle").found == "not done after 120 s"


def test_an_import_leaves_nothing_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert doctor.check_import("paddle_serving_server.pipeline").status == "ok"
    assert list(tmp_path.iterdir()) == []


CHECKS = [Check("a", "ok", "fine"), Check("b", "warn", "slow", "It takes longer.", "Wait.")]
FAILING = [*CHECKS, Check("c", "fail", "gone", "Nothing works.", "Get it.")]


def test_people_read_what_was_found_what_it_means_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "examine", lambda *_: FAILING)
    result = CliRunner().invoke(command, [])
    assert result.exit_code == 1
    assert result.output == (
        "ok    a                            fine\n"
        "warn  b                            slow\n"
        "      means:  It takes longer.\n"
        "      remedy: Wait.\n"
        "fail  c                            gone\n"
        "      means:  Nothing works.\n"
        "      remedy: Get it.\n"
        "3 checks: 1 ok, 1 warn, 1 fail\n"
        "never run, so not verified: `target: arm-cpu`; `target: nvidia-gpu`; `target: nvidia-tensorrt`; "
        "`target: kunlun-xpu`; `cpp`, the C++ server\n"
    )


def test_a_warning_alone_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "examine", lambda *_: CHECKS)
    assert CliRunner().invoke(command, []).exit_code == 0


def test_programs_read_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "examine", lambda *_: FAILING)
    result = CliRunner().invoke(command, ["--json"])
    assert result.exit_code == 1
    answer = json.loads(result.output)
    assert answer["ok"] is False
    assert answer["not_verified"] == doctor.not_verified()
    assert answer["checks"][1] == {
        "name": "b",
        "status": "warn",
        "found": "slow",
        "meaning": "It takes longer.",
        "remedy": "Wait.",
    }


def test_the_options_reach_the_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(doctor, "examine", lambda *options: asked.append(options) or [])
    CliRunner().invoke(command, [])
    CliRunner().invoke(
        command, ["--host", "0.0.0.0", "--http-port", "80", "--grpc-port", "81", "--build", os.sep]
    )
    assert asked == [("127.0.0.1", 9393, 9394, Path("build")), ("0.0.0.0", 80, 81, Path("/"))]


@pytest.mark.parametrize("port", ["0", "65536", "http"])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    assert CliRunner().invoke(command, ["--http-port", port]).exit_code == 2


def test_all_checks_have_names_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "run", lambda *_, **__: process.Completed(0, "", ""))
    names = [check.name for check in doctor.examine("127.0.0.1", 9393, 9394, tmp_path)]
    assert len(names) == len(set(names)) == 14


def test_hardware_that_is_not_here_is_a_failure_that_names_what_is_missing() -> None:
    check = doctor.check_target(HARDWARE["nvidia-gpu"])
    assert check.status == "fail"
    assert check.found.startswith("nvidia-gpu: ")
    assert "the package paddlepaddle-gpu is not installed" in check.found
    assert "can be built and rendered here" in check.meaning


def test_hardware_that_is_here_is_not_verified_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(HARDWARE["nvidia-gpu"]), "missing", lambda _: [])
    check = doctor.check_target(HARDWARE["nvidia-gpu"])
    assert check.status == "warn"
    assert "is not verified" in check.meaning
    assert doctor.check_target(HARDWARE["x86-cpu"]) == Check("target", "ok", "x86-cpu")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pipeline for hardware that is not here, served by a binary that is not here."""
    monkeypatch.setattr(doctor, "examine", lambda *_: [])
    monkeypatch.delenv("SERVING_BIN", raising=False)
    folder = pipeline_folder(tmp_path)
    spec = {**SPEC, "target": "nvidia-gpu", "cpp": {"binary_sha256": "ab" * 32}}
    (folder / "tiny" / "pipeline.yml").write_text(json.dumps(spec))
    return folder


def test_what_a_pipeline_needs_beside_others_is_looked_for(folder: Path) -> None:
    result = CliRunner().invoke(command, ["--json", "--model", "tiny", "--pipelines", str(folder)])
    target, cpp = json.loads(result.output)["checks"]
    assert (result.exit_code, target["status"], cpp["status"]) == (1, "fail", "fail")
    assert (
        cpp["found"] == "the C++ server needs its binary, and SERVING_BIN names none; nothing is downloaded"
    )
    assert "cpp.binary_sha256" in cpp["remedy"]
