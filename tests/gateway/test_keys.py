from __future__ import annotations

import hmac
import logging
import os
from pathlib import Path

import pytest

from toolkit.errors import ServiceError
from toolkit.gateway.faults import Unauthenticated
from toolkit.gateway.keys import Keys

FIRST, SECOND = "first-0123456789abcdef", "second-0123456789abcdef"


def written(tmp_path: Path, text: str, mode: int = 0o600) -> Path:
    path = tmp_path / "keys"
    path.write_text(text)
    path.chmod(mode)
    return path


def loaded(path: Path | None, **environ: str) -> Keys:
    found = Keys.load(path, environ)
    assert found is not None
    return found


def is_known(known: Keys, key: str) -> bool:
    try:
        known.check(f"Bearer {key}", None)
    except Unauthenticated:
        return False
    return True


def test_without_a_file_and_a_variable_no_key_is_asked_for() -> None:
    assert Keys.load(None, {}) is None


def test_a_key_of_the_file_is_let_in_under_its_name(tmp_path: Path) -> None:
    text = f"# who may come in\n\nmobile: {FIRST}   # until June\n  {SECOND}\r\n"
    known = loaded(written(tmp_path, text))
    assert known.check(f"Bearer {FIRST}", None) == "mobile"
    assert known.check(f"bearer  {FIRST} ", None) == "mobile"
    assert known.check(None, FIRST) == "mobile"
    assert known.check(None, SECOND) == "key2"


def test_keys_of_the_environment_are_separated_by_commas() -> None:
    known = loaded(None, TOOLKIT_API_KEYS=f"mobile:{FIRST}, {SECOND},")
    assert known.check(None, FIRST) == "mobile"
    assert known.check(None, SECOND) == "key2"


def test_the_file_goes_before_the_environment_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    known = loaded(written(tmp_path, FIRST), TOOLKIT_API_KEYS=SECOND)
    assert is_known(known, FIRST)
    assert not is_known(known, SECOND)
    assert "TOOLKIT_API_KEYS is ignored" in caplog.text


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", f"Basic {FIRST}", FIRST])
def test_a_request_without_a_key_is_told_how_to_send_one(tmp_path: Path, authorization: str | None) -> None:
    with pytest.raises(Unauthenticated, match="needed") as caught:
        loaded(written(tmp_path, FIRST)).check(authorization, None)
    assert "Authorization: Bearer <key>" in caught.value.remedy
    assert caught.value.status == 401
    assert caught.value.headers["WWW-Authenticate"] == "Bearer"
    assert caught.value.code.name == "UNAUTHENTICATED"


@pytest.mark.parametrize(
    "key",
    [
        FIRST[:-1],
        FIRST + "0",
        FIRST.upper(),
        SECOND,
        "mobile",
        f"mobile:{FIRST}",
        "ключ",
        "\ud800" * 16,
        "\0",
    ],
)
def test_a_key_that_is_not_quite_one_is_refused(tmp_path: Path, key: str) -> None:
    known = loaded(written(tmp_path, f"mobile:{FIRST}"))
    with pytest.raises(Unauthenticated, match="not known"):
        known.check(f"Bearer {key}", None)
    with pytest.raises(Unauthenticated, match="not known"):
        known.check(None, key)


def test_a_header_of_a_proxy_does_not_spoil_the_key_in_the_other_one(tmp_path: Path) -> None:
    known = loaded(written(tmp_path, FIRST))
    assert known.check("Bearer of-somebody-else-entirely", FIRST) == "key1"
    assert known.check("Basic dXNlcjpwYXNz", FIRST) == "key1"


def test_every_key_is_compared_wherever_the_right_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [f"key-number-{n:010d}" for n in range(20)]
    known = loaded(written(tmp_path, "\n".join(many)))
    compared: list[int] = []
    compare = hmac.compare_digest

    def counting(one: bytes, other: bytes) -> bool:
        assert len(one) == len(other) == 32
        compared.append(1)
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", counting)
    for key in (many[0], many[-1], "none-of-them-at-all"):
        compared.clear()
        is_known(known, key)
        assert len(compared) == len(many)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"{FIRST}\nshort-key-15cha\n", 2),
        ("\n\nname:short\n", 3),
        ("schlüssel-0123456789abcdef\n", 1),
        ("two words-0123456789abcdef\n", 1),
        ("one:two:three-0123456789abcdef\n", 1),
        ("n\x1bme-0123456789abcdef\n", 1),
        (f"a:{FIRST}\nb:{FIRST}\n", 2),
    ],
)
def test_a_line_that_is_no_key_is_named_and_not_shown(tmp_path: Path, text: str, line: int) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ServiceError) as caught:
        Keys.load(path, {})
    assert caught.value.where == f"{path}, line {line}"
    for shown in (str(caught.value), str(caught.value.to_json())):
        assert "0123456789" not in shown
        assert "short" not in shown


def test_bytes_that_are_no_text_are_an_error_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_bytes(FIRST.encode() + b"\n\xff\xfe0123456789abcdef\n")
    with pytest.raises(ServiceError) as caught:
        Keys.load(path, {})
    assert caught.value.where == f"{path}, line 2"


@pytest.mark.parametrize("text", ["", "\n", "# nobody\n"])
def test_a_file_without_a_key_is_an_error_and_not_an_open_door(tmp_path: Path, text: str) -> None:
    with pytest.raises(ServiceError, match="no API key"):
        Keys.load(written(tmp_path, text), {})


@pytest.mark.parametrize("text", ["", " , "])
def test_an_empty_variable_is_an_error_and_not_an_open_door(text: str) -> None:
    with pytest.raises(ServiceError, match="no API key") as caught:
        Keys.load(None, {"TOOLKIT_API_KEYS": text})
    assert caught.value.where == "TOOLKIT_API_KEYS"


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(ServiceError, match="cannot be read") as caught:
            Keys.load(path, {})
        assert caught.value.where == str(path)


@pytest.mark.parametrize(("mode", "is_told"), [(0o600, False), (0o640, True), (0o604, True)])
def test_a_file_that_others_can_read_is_told_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, is_told: bool
) -> None:
    Keys.load(written(tmp_path, FIRST, mode), {})
    assert ("chmod 600" in caplog.text) is is_told


def test_a_changed_file_is_taken_over(tmp_path: Path) -> None:
    path = written(tmp_path, FIRST)
    known = loaded(path)
    path.write_text(SECOND)
    known.reload()
    assert is_known(known, SECOND)
    assert not is_known(known, FIRST)


@pytest.mark.parametrize("text", [None, "", "# nobody\n", f"{SECOND}\nshort\n"])
def test_a_file_gone_wrong_leaves_the_last_good_keys(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str | None
) -> None:
    path = written(tmp_path, FIRST)
    known = loaded(path)
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    known.reload()
    assert is_known(known, FIRST)
    assert not is_known(known, SECOND)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert str(path) in caplog.text


def test_keys_of_the_environment_are_not_looked_for_again() -> None:
    known = loaded(None, TOOLKIT_API_KEYS=FIRST)
    known.reload()
    assert is_known(known, FIRST)


def test_no_key_is_shown_anywhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    known = loaded(written(tmp_path, f"mobile:{FIRST}", 0o644), TOOLKIT_API_KEYS=SECOND)
    known.reload()
    with pytest.raises(Unauthenticated) as caught:
        known.check(f"Bearer {FIRST}x", None)
    shown = f"{known!r}{known}{vars(known)}{caught.value}{caught.value.remedy}{caplog.text}"
    assert "0123456789abcdef" not in shown
    assert os.fspath(tmp_path) in shown
