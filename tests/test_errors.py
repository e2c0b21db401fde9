from __future__ import annotations

import json

import pytest

from toolkit import errors
from toolkit.errors import DataError, ModelError, ToolkitError


def test_every_kind_of_error_has_an_exit_code_of_its_own() -> None:
    codes = [kind.exit_code for kind in ToolkitError.__subclasses__() if kind.__module__ == errors.__name__]
    assert len(codes) > 5
    assert len(set(codes)) == len(codes)
    # 1 is a check that failed, 2 is wrong usage, 70 a bug, from 126 on the shell's and the signals'.
    assert all(2 < code < 70 for code in codes)


def test_an_error_says_what_where_and_what_to_do() -> None:
    error = DataError("the list is empty", where="data/validation.txt", remedy="add an image")
    assert str(error) == "the list is empty\n  where:  data/validation.txt\n  remedy: add an image"
    assert str(DataError("the list is empty")) == "the list is empty"


@pytest.mark.parametrize(
    "error", [DataError("一 message", where="a:1", remedy="do"), ModelError("plain"), ToolkitError("base")]
)
def test_an_error_survives_json_with_its_class(error: ToolkitError) -> None:
    again = errors.from_json(json.loads(json.dumps(error.to_json())))
    assert type(again) is type(error)
    assert again.to_json() == error.to_json()


def test_an_error_of_a_kind_that_is_not_known_here_is_still_an_error() -> None:
    again = errors.from_json({"error": "NewerError", "message": "text"})
    assert type(again) is ToolkitError
    assert str(again) == "text"
