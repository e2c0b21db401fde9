"""What the processor offers an inference engine: instruction sets that change speed and numbers, and usable cores."""

from __future__ import annotations

import os
from pathlib import Path

from toolkit import cgroup

CPUINFO = Path("/proc/cpuinfo")

# The flags of /proc/cpuinfo that oneDNN chooses its kernels by. Others say nothing about a model.
RELEVANT = frozenset(
    {
        "avx",
        "avx2",
        "avx_vnni",
        "avx512f",
        "avx512_vnni",
        "avx512_bf16",
        "avx512_fp16",
        "amx_tile",
        "amx_int8",
        "amx_bf16",
    }
)


def features(cpuinfo: Path = CPUINFO) -> frozenset[str]:
    """The relevant instruction sets that every processor of this machine has, as /proc/cpuinfo names them.

    Empty where there is no such file (not Linux) or it has no flags (not x86).
    """
    try:
        text = cpuinfo.read_text()
    except OSError:
        return frozenset()
    each = [
        frozenset(flags.split())
        for name, _, flags in (line.partition(":") for line in text.splitlines())
        if name.strip() == "flags"
    ]
    return RELEVANT.intersection(*each) if each else frozenset()


def supports_bf16(cpuinfo: Path = CPUINFO) -> bool:
    """Whether bf16 has instructions of its own here; without them it runs, but many times slower than FP32."""
    return not features(cpuinfo).isdisjoint({"avx512_bf16", "amx_bf16"})


def cores() -> int:
    """Processors that this process may keep busy: its affinity, or the quota of its container if that is less.

    A quota of 2.5 counts as 2: a third thread would be stopped for half of the time, and the others wait for it.
    """
    usable = len(os.sched_getaffinity(0))
    quota = cgroup.cpu_quota()
    return usable if quota is None else max(1, min(usable, int(quota)))
