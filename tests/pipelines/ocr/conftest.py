"""For the tests of a pipeline's own code."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def _postprocessing_without_paddle() -> Iterator[None]:
    """rapidocr's postprocessing is plain numpy, but its packages import paddle, which has no place in this process."""
    found = importlib.util.find_spec("rapidocr_paddle")
    assert found is not None
    assert found.origin is not None
    folder = Path(found.origin).parent
    with pytest.MonkeyPatch.context() as patch:
        for name in ("", ".ch_ppocr_det", ".ch_ppocr_rec"):
            package = ModuleType(f"rapidocr_paddle{name}")
            place = folder / name.lstrip(".")
            package.__path__ = [str(place)]
            package.__file__ = str(place / "__init__.py")
            patch.setitem(sys.modules, package.__name__, package)
        yield
