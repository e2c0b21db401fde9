"""What a deployment needs of the machine and the environment, checked one by one and explained in words."""

from __future__ import annotations

import errno
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from packaging.utils import canonicalize_name

from toolkit import cgroup, cpu, lockfile, ports, process
from toolkit.hardware import HARDWARE, Hardware

Status = Literal["ok", "warn", "fail"]

LOCK = Path(__file__).resolve().parent.parent / "requirements.lock"
HOST = "127.0.0.1"
HTTP_PORT = 9393
GRPC_PORT = 9394
IMPORT_TIMEOUT = 120.0  # seconds; paddle takes 3 on a warm disk and far longer on a cold, busy one

GIB = 1 << 30


@dataclass(frozen=True)
class Check:
    """One thing looked at.

    Args:
        name: what was looked at.
        status: `fail`: a deployment cannot work; `warn`: it works with a loss, or may not.
        found: what is there.
        meaning: what follows from it; empty where nothing does.
        remedy: what to do about it; empty where there is nothing to do.
    """

    name: str
    status: Status
    found: str
    meaning: str = ""
    remedy: str = ""


def examine(host: str, http_port: int, grpc_port: int, build: Path) -> list[Check]:
    """Run every check; a deployment would listen on `host` and write below `build`."""
    return [
        check_platform(platform.system(), platform.machine()),
        check_python(sys.version_info[:3]),
        check_lock(LOCK, installed()),
        *check_cpu(cpu.features()),
        check_cores(cpu.cores()),
        check_memory(memory_available()),
        check_disk(build),
        *check_ports(host, {"http port": http_port, "grpc port": grpc_port}),
        check_import("paddle"),
        check_import("paddle_serving_server.pipeline"),
    ]


# ------------------------------------------------------------------------------------------- the environment


def check_platform(system: str, machine: str) -> Check:
    """Whether the packages of Paddle Serving exist for this kind of machine."""
    found = f"{system} on {machine}"
    if (system, machine) == ("Linux", "x86_64"):
        return Check("platform", "ok", found)
    return Check(
        "platform",
        "fail",
        found,
        "Paddle Serving is published for Linux on x86_64 only.",
        "Work on such a machine, or in a container of that platform.",
    )


def check_python(version: tuple[int, ...]) -> Check:
    """Whether this is the one Python that the locked packages exist for."""
    found = ".".join(map(str, version))
    if version[:2] == (3, 9):
        return Check("python", "ok", found)
    return Check(
        "python",
        "fail",
        found,
        "paddle-serving-client 0.9.0 has no package for a newer Python, the others have none for an older one.",
        "Run `make setup`, and the program as .venv/bin/toolkit.",
    )


def check_lock(lock: Path, versions: Mapping[str, str]) -> Check:
    """Whether every package of `lock` is installed in the locked version.

    Args:
        versions: installed version by canonical name.
    """
    if not lock.exists():
        return Check(
            "lock",
            "warn",
            f"no {lock.name} beside the package",
            "This is not a checkout, so nothing says whether the installed versions are the tested ones.",
            "Work in a checkout, where `make setup` installs the tested versions.",
        )
    locked = lockfile.read(lock)
    differing = [
        f"{name} {versions.get(name, 'missing')} instead of {item.version}"
        for name, item in locked.items()
        if versions.get(name) != item.version
    ]
    if not differing:
        return Check("lock", "ok", f"all {len(locked)} packages in the locked version")
    return Check(
        "lock",
        "fail",
        _some(differing),
        "The environment is not the one that was tested; the versions around Paddle Serving break easily.",
        "Remove .venv and run `make setup`.",
    )


def installed() -> dict[str, str]:
    """Version by canonical name of each package of this environment; of two of one name, the one imported."""
    versions: dict[str, str] = {}
    for distribution in metadata.distributions():
        versions.setdefault(canonicalize_name(distribution.metadata["Name"]), distribution.version)
    return versions


def check_import(module: str) -> Check:
    """Whether `module` can be imported, tried in a process of its own since paddle may crash instead of raising."""
    name = f"import {module.partition('.')[0]}"
    # Paddle Serving writes a log folder into its working directory as soon as it is imported.
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = process.run(
                [sys.executable, "-c", f"import {module}"], timeout=IMPORT_TIMEOUT, cwd=Path(folder)
            )
        except subprocess.TimeoutExpired:
            return Check(
                name,
                "fail",
                f"not done after {IMPORT_TIMEOUT:.0f} s",
                "No model can be loaded.",
                "Look for a machine that is overloaded or a disk that hangs, then try again.",
            )
    if done.returncode == 0:
        return Check(name, "ok", "works")
    if done.returncode == -signal.SIGILL:
        return Check(
            name,
            "fail",
            "ended by an illegal instruction",
            "The published packages use instructions (AVX) that this processor, or its virtual machine, lacks.",
            "Use another machine, or have the virtual machine pass on the host's CPU features.",
        )
    return Check(
        name,
        "fail",
        _last_words(done),
        "Models cannot be quantized or served.",
        "If it names a lib*.so, install the system package with that file; else remove .venv and `make setup`.",
    )


def _last_words(done: process.Completed) -> str:
    ending = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return f"{ending}: {lines[-1].strip()}" if lines else ending


# ----------------------------------------------------------------------------------------------- the machine


def check_cpu(features: frozenset[str]) -> list[Check]:
    """What the processor's instruction sets mean for speed and accuracy."""
    return [
        _feature(
            "avx2",
            features & {"avx2"},
            "warn",
            "Paddle may not start at all, and no precision is fast.",
            "Use another machine, or have the virtual machine pass on the host's CPU features.",
        ),
        _feature(
            "avx512_vnni",
            features & {"avx512_vnni"},
            "warn",
            "INT8 runs, but slower and with other numbers; a verdict reached here does not hold where it is.",
            "Evaluate on the kind of machine that will serve.",
        ),
        _feature(
            "avx512_bf16",
            features & {"avx512_bf16", "amx_bf16"},
            "warn",
            "bf16 would be far slower than FP32, so it is left out of the candidates.",
            "Nothing, unless the machine that will serve has it: then evaluate there.",
        ),
        _feature(
            "amx",
            features & {"amx_tile", "amx_int8", "amx_bf16"},
            "ok",
            "Nothing is lost but the speed of processors that have it (Intel from Sapphire Rapids on).",
            "",
        ),
    ]


def _feature(name: str, there: Iterable[str], without: Status, meaning: str, remedy: str) -> Check:
    names = ", ".join(sorted(there))
    return Check(name, "ok", names) if names else Check(name, without, "absent", meaning, remedy)


def check_cores(count: int) -> Check:
    """Whether clients, replicas and the front door have a core each."""
    if count >= 2:
        return Check("cores", "ok", f"{count} usable")
    return Check(
        "cores",
        "warn",
        f"{count} usable",
        "The model and the server in front of it wait for each other, so latencies are high and scatter.",
        "Grant this machine or container two cores or more.",
    )


def memory_available(meminfo: Path = Path("/proc/meminfo")) -> int:
    """Bytes that can be had without swapping, as far as the control groups of this process grant them."""
    match = re.search(r"^MemAvailable:\s+(\d+) kB", meminfo.read_text(), flags=re.MULTILINE)
    free = int(match.group(1)) * 1024 if match else 0
    granted = cgroup.memory_left()
    return free if granted is None else min(free, granted)


def check_memory(available: int) -> Check:
    """Whether calibration, the hungriest stage, fits."""
    found = f"{available / GIB:.1f} GiB available"
    if available >= 4 * GIB:
        return Check("memory", "ok", found)
    return Check(
        "memory",
        "fail" if available < 2 * GIB else "warn",
        found,
        "Calibration and evaluation keep several models in memory; the kernel ends them when it runs out.",
        "Stop other programs, or grant 4 GiB.",
    )


def check_disk(build: Path) -> Check:
    """Whether `build`, or the folder that it would be made in, can be written and has room."""
    folder = build.absolute()
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        return Check(
            "disk",
            "fail",
            f"{folder} cannot be written",
            "Nothing can be built.",
            "Change its owner or mode, or name another directory: BUILD=...",
        )
    free = shutil.disk_usage(folder).free
    found = f"{free / GIB:.1f} GiB free for {build}"
    if free >= 5 * GIB:
        return Check("disk", "ok", found)
    return Check(
        "disk",
        "fail" if free < GIB else "warn",
        found,
        "Every candidate, every release and the logs stay on disk.",
        "Free some space, or name a directory on another disk: BUILD=...",
    )


def check_target(target: Hardware) -> Check:
    """Whether this machine has the hardware that a pipeline is built for."""
    missing = target.missing()
    if missing:
        return Check(
            "target",
            "fail",
            f"{target.name}: {'; '.join(missing)}",
            "The pipeline can be built and rendered here, and not be started.",
            f"Start it where nothing of that is missing, beside {target.base}.",
        )
    if target.verified:
        return Check("target", "ok", target.name)
    return Check(
        "target",
        "warn",
        f"{target.name}: nothing is missing that can be seen",
        "Nobody has run the toolkit on it: whether it works, and how accurate it is there, is not verified.",
        "Compare its answers with those of x86-cpu before you rely on it.",
    )


def not_verified() -> list[str]:
    """What the toolkit renders, and nobody has run."""
    found = [f"`target: {item.name}`" for item in HARDWARE.values() if not item.verified]
    return [*found, "`cpp`, the C++ server"]


# ------------------------------------------------------------------------------------------------- the ports


def check_ports(host: str, wanted: Mapping[str, int]) -> list[Check]:
    """Whether a service could listen on each of `wanted` (by what it is for) of `host`, each once."""
    checks = [check_port(host, port, name) for name, port in wanted.items()]
    if len(set(wanted.values())) == len(wanted):
        return checks
    same = Check(
        "ports",
        "fail",
        f"{' and '.join(wanted)} are the same",
        "Each protocol needs a port of its own.",
        "Give two different ports: HTTP_PORT=... GRPC_PORT=...",
    )
    return [*checks, same]


def check_port(host: str, port: int, name: str) -> Check:
    """Whether `port` of `host` can be listened on."""
    variable = name.upper().replace(" ", "_")
    try:
        error = ports.try_bind(host, port)
    except socket.gaierror as unknown:
        return _no_such_host(name, host, unknown.strerror or str(unknown))
    if error is None:
        return Check(name, "ok", f"{host}:{port} is free")
    if error.errno == errno.EADDRINUSE:
        return Check(
            name,
            "warn",
            f"{host}:{port} is taken",
            "If the service of this checkout has it (see `make status`), all is well; else launching would fail.",
            f"Stop what has it (`ss -ltnp 'sport = :{port}'` names it), or choose another port: {variable}=...",
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return _no_such_host(name, host, "not an address of this machine")
    return Check(
        name,
        "fail",
        f"{host}:{port}: {error.strerror}",
        "The service could not listen there; ports below 1024 are kept for root.",
        f"Choose another port: {variable}=...",
    )


def _no_such_host(name: str, host: str, why: str) -> Check:
    return Check(
        name,
        "fail",
        f"{host}: {why}",
        "The service could not listen there.",
        "Give one of this machine: HOST=127.0.0.1 for this machine alone, HOST=0.0.0.0 for the network.",
    )


def _some(items: list[str], limit: int = 5) -> str:
    rest = len(items) - limit
    return "; ".join(items[:limit]) + (f"; and {rest} more" if rest > 0 else "")
