from __future__ import annotations

from pathlib import Path

import pytest

from toolkit import cgroup

NO_LIMIT_OF_VERSION_1 = "9223372036854771712\n"


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    path = tmp_path / "cgroup"
    path.mkdir()
    return path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def membership(mount: Path, text: str) -> Path:
    path = mount.parent / "membership"
    path.write_text(text)
    return path


def test_version_2_quota_is_time_over_period(mount: Path) -> None:
    write(mount / "cpu.max", "150000 100000\n")
    assert cgroup.cpu_quota(mount, membership(mount, "0::/\n")) == 1.5


def test_version_2_without_a_limit(mount: Path) -> None:
    write(mount / "cpu.max", "max 100000\n")
    write(mount / "memory.max", "max\n")
    write(mount / "memory.current", "1000\n")
    groups = membership(mount, "0::/\n")
    assert cgroup.cpu_quota(mount, groups) is None
    assert cgroup.memory_left(mount, groups) is None


def test_the_tightest_of_the_groups_above_counts(mount: Path) -> None:
    write(mount / "a/cpu.max", "100000 100000\n")
    write(mount / "a/b/cpu.max", "400000 100000\n")
    write(mount / "a/memory.max", "5000\n")
    write(mount / "a/memory.current", "4000\n")
    write(mount / "a/b/memory.max", "3000\n")
    write(mount / "a/b/memory.current", "100\n")
    groups = membership(mount, "0::/a/b\n")
    assert cgroup.cpu_quota(mount, groups) == 1.0
    assert cgroup.memory_left(mount, groups) == 1000


def test_a_group_of_the_host_that_a_container_cannot_see_falls_back_to_the_mount(mount: Path) -> None:
    write(mount / "cpu.max", "200000 100000\n")
    assert cgroup.cpu_quota(mount, membership(mount, "0::/system.slice/docker-1.scope\n")) == 2.0


def test_version_1_has_its_controllers_in_folders(mount: Path) -> None:
    write(mount / "cpu,cpuacct/job/cpu.cfs_quota_us", "50000\n")
    write(mount / "cpu,cpuacct/job/cpu.cfs_period_us", "100000\n")
    write(mount / "memory/job/memory.limit_in_bytes", "5000\n")
    write(mount / "memory/job/memory.usage_in_bytes", "1000\n")
    groups = membership(mount, "4:cpu,cpuacct:/job\n3:memory:/job\n1:name=systemd:/job\n")
    assert cgroup.cpu_quota(mount, groups) == 0.5
    assert cgroup.memory_left(mount, groups) == 4000


def test_version_1_without_a_limit(mount: Path) -> None:
    write(mount / "cpu/cpu.cfs_quota_us", "-1\n")
    write(mount / "cpu/cpu.cfs_period_us", "100000\n")
    write(mount / "memory/memory.limit_in_bytes", NO_LIMIT_OF_VERSION_1)
    write(mount / "memory/memory.usage_in_bytes", "1000\n")
    groups = membership(mount, "2:cpu:/\n3:memory:/\n")
    assert cgroup.cpu_quota(mount, groups) is None
    assert cgroup.memory_left(mount, groups) is None


def test_a_group_that_is_over_its_limit_has_nothing_left(mount: Path) -> None:
    write(mount / "memory.max", "1000\n")
    write(mount / "memory.current", "1001\n")
    assert cgroup.memory_left(mount, membership(mount, "0::/\n")) == 0


def test_without_control_groups_there_is_no_limit(mount: Path) -> None:
    assert cgroup.cpu_quota(mount, mount / "none") is None
    assert cgroup.memory_left(mount, mount / "none") is None
