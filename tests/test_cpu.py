from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import pytest

from toolkit import cgroup, cpu

HASWELL = "fpu sse avx avx2 fma"
ALDER_LAKE = f"{HASWELL} avx_vnni"
SKYLAKE = f"{HASWELL} avx512f avx512bw avx512dq avx512vl"
CASCADE_LAKE = f"{SKYLAKE} avx512_vnni"
GENOA = f"{CASCADE_LAKE} avx512_bf16"
SAPPHIRE_RAPIDS = f"{GENOA} avx_vnni avx512_fp16 amx_tile amx_int8 amx_bf16"


def cpuinfo(folder: Path, *flags: str) -> Path:
    path = folder / "cpuinfo"
    path.write_text(
        "\n".join(
            f"processor\t: {number}\nmodel name\t: A flags: B\nflags\t\t: {line}\nbugs\t\t: spectre_v1\n"
            for number, line in enumerate(flags)
        )
    )
    return path


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (CASCADE_LAKE, {"avx", "avx2", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni"}),
        (HASWELL, {"avx", "avx2"}),
        ("fpu sse", set()),
    ],
)
def test_the_features_are_the_flags_that_change_kernels(
    tmp_path: Path, flags: str, expected: set[str]
) -> None:
    assert cpu.features(cpuinfo(tmp_path, flags, flags)) == expected


def test_a_feature_that_one_processor_lacks_is_no_feature_of_the_machine(tmp_path: Path) -> None:
    assert cpu.features(cpuinfo(tmp_path, SAPPHIRE_RAPIDS, HASWELL)) == {"avx", "avx2"}


def test_a_processor_that_is_not_x86_has_no_features(tmp_path: Path) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text("processor\t: 0\nFeatures\t: fp asimd bf16\n")
    assert cpu.features(path) == frozenset()


def test_without_cpuinfo_there_are_no_features(tmp_path: Path) -> None:
    assert cpu.features(tmp_path / "none") == frozenset()


@pytest.mark.parametrize(
    ("flags", "expected", "below"),
    [
        ("fpu sse avx", None, ()),
        (HASWELL, "AVX2", ()),
        (ALDER_LAKE, "AVX2_VNNI", ("AVX2",)),
        (SKYLAKE, "AVX512_CORE", ("AVX2",)),
        (CASCADE_LAKE, "AVX512_CORE_VNNI", ("AVX2", "AVX512_CORE")),
        (GENOA, "AVX512_CORE_BF16", ("AVX2", "AVX512_CORE", "AVX512_CORE_VNNI")),
        (SAPPHIRE_RAPIDS, "AVX512_CORE_AMX", cpu.LEVELS[:-1]),
    ],
)
def test_the_level_is_the_best_whose_every_feature_is_there(
    tmp_path: Path, flags: str, expected: Optional[str], below: tuple[str, ...]
) -> None:
    path = cpuinfo(tmp_path, flags)
    assert cpu.level(path, {}) == expected
    assert cpu.levels_below(path, {}) == below


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}, "AVX512_CORE"),
        ({"ONEDNN_MAX_CPU_ISA": "avx512_core"}, "AVX512_CORE"),
        ({"DNNL_MAX_CPU_ISA": "AVX2"}, "AVX2"),
        ({"ONEDNN_MAX_CPU_ISA": "AVX2", "DNNL_MAX_CPU_ISA": "AVX512_CORE"}, "AVX2"),
        ({"ONEDNN_MAX_CPU_ISA": "", "DNNL_MAX_CPU_ISA": "AVX2"}, "AVX2"),
        ({"ONEDNN_MAX_CPU_ISA": "AVX"}, None),
        ({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_AMX"}, "AVX512_CORE_BF16"),
        ({"ONEDNN_MAX_CPU_ISA": "PENTIUM", "DNNL_MAX_CPU_ISA": "AVX2"}, "AVX512_CORE_BF16"),
        ({"ONEDNN_MAX_CPU_ISA": "DEFAULT"}, "AVX512_CORE_BF16"),
    ],
)
def test_the_environment_lowers_the_level_as_it_does_for_onednn(
    tmp_path: Path, environ: dict[str, str], expected: Optional[str]
) -> None:
    assert cpu.level(cpuinfo(tmp_path, GENOA), environ) == expected


@pytest.mark.parametrize("name", cpu.LEVELS)
def test_a_child_can_be_made_to_run_at_every_level(tmp_path: Path, name: str) -> None:
    path = cpuinfo(tmp_path, SAPPHIRE_RAPIDS)
    outer = {"ONEDNN_MAX_CPU_ISA": "AVX2", "DNNL_MAX_CPU_ISA": "AVX2"}
    assert cpu.level(path, {**outer, **cpu.environment_at(name)}) == name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("AVX2", False),
        ("AVX2_VNNI", False),
        ("AVX512_CORE", False),
        ("AVX512_CORE_VNNI", False),
        ("AVX512_CORE_BF16", True),
        ("AVX512_CORE_FP16", True),
        ("AVX512_CORE_AMX", True),
    ],
)
def test_bf16_is_supported_where_it_has_instructions(name: str, expected: bool) -> None:
    assert cpu.supports_bf16(name) is expected


def test_without_a_level_the_one_of_this_process_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cpu.supports_bf16() is cpu.supports_bf16(cpu.level())
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_VNNI")
    assert not cpu.supports_bf16()


@pytest.mark.parametrize(("quota", "expected"), [(None, 8), (64.0, 8), (4.0, 4), (2.5, 2), (0.5, 1)])
def test_usable_cores_are_bounded_by_affinity_and_quota(
    monkeypatch: pytest.MonkeyPatch, quota: Optional[float], expected: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(cgroup, "cpu_quota", lambda: quota)
    assert cpu.cores() == expected


def test_the_processor_is_named_as_the_kernel_names_it(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("processor\t: 0\nmodel name\t: Some CPU: v2 @ 3 GHz\nflags\t: avx\n")
    assert cpu.model(file) == "Some CPU: v2 @ 3 GHz"
    assert cpu.model(tmp_path / "none") == ""


@pytest.mark.parametrize(("flags", "expected"), [(HASWELL, False), (ALDER_LAKE, False), (SKYLAKE, True)])
def test_a_processor_without_avx512_is_known_as_such(tmp_path: Path, flags: str, expected: bool) -> None:
    assert cpu.has_avx512(cpuinfo(tmp_path, flags)) is expected


def test_a_level_needs_the_features_of_those_below_it() -> None:
    assert cpu.features_of("AVX2") == ("avx", "avx2")
    assert {*cpu.features_of("AVX2"), "avx512_vnni"} < {*cpu.features_of("AVX512_CORE_VNNI")}


@pytest.mark.parametrize(
    ("usable", "count", "threads", "expected"),
    [
        ((0, 1), 2, 1, [{0}, {1}]),
        ((4, 5, 6, 7), 2, 2, [{4, 5}, {6, 7}]),
        ((0, 1), 4, 1, [{0}, {1}, {0}, {1}]),
        ((0, 1), 3, 1, None),
        ((0, 1, 2), 1, 2, None),
        ((0, 1), 1, 1, None),
        ((0, 1), 1, 4, None),
    ],
    ids=["each", "pairs", "twice", "uneven", "one left over", "one for two", "too few"],
)
def test_processors_are_dealt_out_where_that_leaves_none_with_more_to_do(
    usable: tuple[int, ...], count: int, threads: int, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(usable))
    monkeypatch.setattr(cgroup, "cpu_quota", lambda: None)
    assert cpu.parcels(count, threads) == expected


@pytest.mark.parametrize(("quota", "dealt"), [(1.0, False), (1.5, False), (2.0, True)])
def test_under_a_quota_the_kernel_chooses_the_processors(
    quota: float, dealt: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(cgroup, "cpu_quota", lambda: quota)
    assert (cpu.parcels(2, 1) is not None) == dealt
