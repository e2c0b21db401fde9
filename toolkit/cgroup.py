"""What the control groups that this process is in grant it: the limits of a container, of either cgroup version."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Optional

MOUNT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def cpu_quota(mount: Path = MOUNT, membership: Path = MEMBERSHIP) -> Optional[float]:
    """Processors' worth of time that the tightest group grants (1.5: one and a half), or None without a limit."""
    quotas = []
    for folder in _folders("cpu", mount, membership):
        quota, period = _first_two(_read(folder / "cpu.max"))
        if quota is None:
            quota = _number(_read(folder / "cpu.cfs_quota_us"))
            period = _number(_read(folder / "cpu.cfs_period_us"))
        if quota is not None and quota > 0 and period:
            quotas.append(quota / period)
    return min(quotas, default=None)


def memory_left(mount: Path = MOUNT, membership: Path = MEMBERSHIP) -> Optional[int]:
    """Bytes that the tightest group still grants, or None without a limit.

    Page cache counts as used here, as it does in the group, though the kernel would give it back.
    """
    left = []
    for folder in _folders("memory", mount, membership):
        for limit_name, used_name in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            limit, used = _number(_read(folder / limit_name)), _number(_read(folder / used_name))
            # Version 1 writes "no limit" as the largest multiple of a page in 63 bits.
            if limit is not None and used is not None and limit < 1 << 60:
                left.append(max(0, int(limit - used)))
    return min(left, default=None)


def _folders(controller: str, mount: Path, membership: Path) -> Iterator[Path]:
    """The folder of each group that has a say about `controller`: the process' own and those above it.

    In a container the path of `membership` may be the host's, with no such folder under `mount`; the root of
    the mount is the container's group then, and it is always among the folders.
    """
    for line in _read(membership).splitlines():
        number, names, path = line.split(":", 2)
        if number == "0":
            roots = [mount, mount / "unified"]
        elif controller in names.split(","):
            roots = [mount / names, mount / controller]
        else:
            continue
        group = Path(path.lstrip("/"))
        for root in roots:
            for part in (group, *group.parents):
                yield root / part


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _first_two(text: str) -> tuple[Optional[float], Optional[float]]:
    parts = text.split()
    return (_number(parts[0]), _number(parts[1])) if len(parts) == 2 else (None, None)


def _number(text: str) -> Optional[float]:
    try:
        return float(text)
    except ValueError:
        return None
