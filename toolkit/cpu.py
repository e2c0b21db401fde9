"""What the processor offers an inference engine: instruction sets that change speed and numbers, and usable cores."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Optional

from toolkit import cgroup

CPUINFO = Path("/proc/cpuinfo")

# The variables by which oneDNN takes older kernels than the processor has; the first one wins, in any case of
# letters, and a value that it does not know counts for nothing (oneDNN 3.2, "CPU Dispatcher Control"; tried).
LEVEL_VARIABLES = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")

_AVX2 = frozenset({"avx", "avx2"})
_CORE = _AVX2 | {"avx512f", "avx512bw", "avx512dq", "avx512vl"}
_VNNI = _CORE | {"avx512_vnni"}
_BF16 = _VNNI | {"avx512_bf16"}
_FP16 = _BF16 | {"avx_vnni", "avx512_fp16"}
_FEATURES = {
    "SSE41": frozenset[str](),
    "AVX": frozenset({"avx"}),
    "AVX2": _AVX2,
    "AVX2_VNNI": _AVX2 | {"avx_vnni"},
    "AVX512_CORE": _CORE,
    "AVX512_CORE_VNNI": _VNNI,
    "AVX512_CORE_BF16": _BF16,
    "AVX512_CORE_FP16": _FP16,
    "AVX512_CORE_AMX": _FP16 | {"amx_tile", "amx_int8", "amx_bf16"},
}

# oneDNN's levels that a model may meet, each with kernels of its own, the weakest first. AVX2_VNNI is no step on the
# way to the next ones: processors have the one, the others, or both.
LEVELS = tuple(name for name in _FEATURES if name not in ("SSE41", "AVX"))

# The flags of /proc/cpuinfo that oneDNN chooses its kernels by. Others say nothing about a model.
RELEVANT = frozenset().union(*_FEATURES.values())


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


def levels(cpuinfo: Path = CPUINFO, environ: Optional[Mapping[str, str]] = None) -> tuple[str, ...]:
    """The levels that oneDNN can run at here, the weakest first; the last is the one that it takes.

    Args:
        environ: where `LEVEL_VARIABLES` are looked up; None: the environment of this process.
    """
    usable = features(cpuinfo) & _allowed(os.environ if environ is None else environ)
    return tuple(name for name in LEVELS if _FEATURES[name] <= usable)


def _allowed(environ: Mapping[str, str]) -> frozenset[str]:
    """The features that the environment lets oneDNN use."""
    values = [environ[name].upper() for name in LEVEL_VARIABLES if environ.get(name)]
    return _FEATURES.get(values[0], RELEVANT) if values else RELEVANT


def level(cpuinfo: Path = CPUINFO, environ: Optional[Mapping[str, str]] = None) -> Optional[str]:
    """The level that oneDNN runs at here; None where it is less than the first of `LEVELS`, or no x86 at all."""
    return next(reversed(levels(cpuinfo, environ)), None)


def levels_below(cpuinfo: Path = CPUINFO, environ: Optional[Mapping[str, str]] = None) -> tuple[str, ...]:
    """The levels below `level` that can be tried here, the weakest first."""
    return levels(cpuinfo, environ)[:-1]


def environment_at(name: str) -> dict[str, str]:
    """What makes a child process run at the level `name`, or at that of the machine where it is less.

    It holds for oneDNN's kernels. Paddle's own look at the processor itself.
    """
    return dict.fromkeys(LEVEL_VARIABLES, name)


def features_of(name: str) -> tuple[str, ...]:
    """The features that the level `name` needs, as /proc/cpuinfo names them, sorted."""
    return tuple(sorted(_FEATURES[name]))


def has_avx512(cpuinfo: Path = CPUINFO) -> bool:
    """Whether the processor itself has the AVX-512 of servers, whatever oneDNN is told to use."""
    return features(cpuinfo) >= _CORE


def supports_bf16(at: Optional[str] = None) -> bool:
    """Whether bf16 has instructions of its own at the level `at`; None: at that of this process.

    Without them it fails (AVX2) or runs many times slower than FP32, whatever Paddle says of the hardware.
    """
    name = at if at is not None else level()
    return name is not None and _FEATURES[name] >= _BF16


def model(cpuinfo: Path = CPUINFO) -> str:
    """The name of the processor; empty where it is not known."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return ""
    named = (line.partition(":") for line in lines)
    return next((value.strip() for name, _, value in named if name.strip() == "model name"), "")


def cores() -> int:
    """Processors that this process may keep busy: its affinity, or the quota of its container if that is less.

    A quota of 2.5 counts as 2: a third thread would be stopped for half of the time, and the others wait for it.
    """
    usable = len(os.sched_getaffinity(0))
    quota = cgroup.cpu_quota()
    return usable if quota is None else max(1, min(usable, int(quota)))


def parcels(count: int, threads: int) -> Optional[list[frozenset[int]]]:
    """For each of `count` processes with `threads` busy threads, the processors that it may have to itself.

    None where they cannot all be dealt out evenly, or where a quota lets this process use fewer at a time than it may
    run on: the kernel does better then.
    """
    usable = sorted(os.sched_getaffinity(0))
    places, left = divmod(len(usable), threads)
    if left or not places or count % places or cores() < len(usable):
        return None
    dealt = [frozenset(usable[begin : begin + threads]) for begin in range(0, len(usable), threads)]
    return [dealt[number % places] for number in range(count)]
