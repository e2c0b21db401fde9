from __future__ import annotations

from pathlib import Path

import pytest

from toolkit import lockfile
from toolkit.errors import ReleaseError

LOCK = """\
# nothing
a-b[extra]==1.0 ; python_version < "4" \\
    --hash=sha256:00
    # via
    #   my_project (setup.cfg)
    #   C
c==2+cpu
"""


def test_each_package_has_a_version_its_lines_and_those_that_need_it(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text(LOCK)
    found = lockfile.read(tmp_path / "lock")
    assert {name: item.version for name, item in found.items()} == {"a-b": "1.0", "c": "2+cpu"}
    assert found["a-b"].text == 'a-b[extra]==1.0 ; python_version < "4" \\\n    --hash=sha256:00\n'
    assert found["a-b"].wanted_by == {"my-project", "c"}
    assert found["c"].wanted_by == set()


def test_a_lock_that_pins_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("# nothing\n    --hash=sha256:00\n")
    with pytest.raises(ReleaseError, match="pins no package"):
        lockfile.read(tmp_path / "lock")
    with pytest.raises(ReleaseError, match="cannot be read"):
        lockfile.read(tmp_path / "missing")
