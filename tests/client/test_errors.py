from __future__ import annotations

from typing import Optional

import pytest

from toolkit.client import BadRequest, ServerFault, TooLarge, Unauthenticated, Unavailable
from toolkit.client.errors import ClientError, from_status
from toolkit.client.protocol import UNPROCESSABLE, http_status


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequest),
        (401, Unauthenticated),
        (413, TooLarge),
        (418, BadRequest),
        (422, BadRequest),
        (429, Unavailable),
        (500, ServerFault),
        (503, Unavailable),
    ],
)
def test_a_status_becomes_the_error_that_says_what_to_do(status: int, kind: type[ClientError]) -> None:
    error = from_status(status, "words", "7")
    assert type(error) is kind
    assert (error.status, error.message) == (status, "words")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        (" 30 ", 30.0),
        ("0", 0.0),
        (None, None),
        ("", None),
        ("-1", None),
        ("soon", None),
        ("1e9", None),
    ],
)
def test_retry_after_is_seconds_or_nothing(text: Optional[str], seconds: Optional[float]) -> None:
    error = from_status(429, "full", text)
    assert isinstance(error, Unavailable)
    assert error.retry_after == seconds


def test_a_date_to_come_again_is_left_alone() -> None:
    error = from_status(503, "later", "Wed, 21 Oct 2026 07:28:00 GMT")
    assert isinstance(error, Unavailable)
    assert error.retry_after is None


def test_an_image_that_is_none_has_a_status_of_its_own() -> None:
    assert http_status(UNPROCESSABLE) == 422
