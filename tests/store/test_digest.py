from __future__ import annotations

from pathlib import Path

from toolkit.store import digest


def test_the_order_of_keys_does_not_matter_and_that_of_lists_does() -> None:
    assert digest.of_value({"a": 1, "b": [1, 2]}) == digest.of_value({"b": [1, 2], "a": 1})
    assert digest.of_value([1, 2]) != digest.of_value([2, 1])


def test_a_tree_is_its_names_and_contents_without_compiled_code(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "a.py").write_text("a = 1\n")
    first = digest.of_tree(tmp_path, "**/*.py")
    (tmp_path / "package" / "__pycache__").mkdir()
    (tmp_path / "package" / "__pycache__" / "b.py").write_text("")
    (tmp_path / "notes.txt").write_text("not code")
    assert digest.of_tree(tmp_path, "**/*.py") == first
    (tmp_path / "package" / "a.py").rename(tmp_path / "package" / "b.py")
    renamed = digest.of_tree(tmp_path, "**/*.py")
    (tmp_path / "package" / "b.py").write_text("a = 2\n")
    assert len({first, renamed, digest.of_tree(tmp_path, "**/*.py")}) == 3


def test_code_is_modules_and_packages_together(tmp_path: Path) -> None:
    for name in ("a.py", "b.py", "c.py"):
        (tmp_path / name).write_text(f"name = {name!r}\n")
    a, b, c = (tmp_path / name for name in ("a.py", "b.py", "c.py"))
    assert len({digest.of_code(a), digest.of_code(a, b), digest.of_code(a, c), digest.of_code(tmp_path)}) == 4


def test_code_does_not_become_another_while_a_run_uses_it(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("a = 1\n")
    before = digest.of_code(tmp_path / "a.py")
    (tmp_path / "a.py").write_text("a = 2\n")
    assert digest.of_code(tmp_path / "a.py") == before


def test_the_versions_of_packages_are_those_installed() -> None:
    assert digest.of_packages(["protobuf"])["protobuf"].startswith("3.20.")
