from __future__ import annotations

import re

import pytest

from toolkit.gateway.trace import continued, request_id

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_the_trace_of_the_client_goes_on_with_a_span_of_our_own() -> None:
    trace = continued(f"00-{TRACE}-{SPAN}-01")
    assert (trace.trace_id, trace.parent_id) == (TRACE, SPAN)
    assert trace.span_id != SPAN


def test_a_later_version_may_say_more() -> None:
    assert continued(f"01-{TRACE}-{SPAN}-01-what").trace_id == TRACE


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "nonsense",
        f"00-{TRACE}-{SPAN}",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
    ],
)
def test_anything_else_begins_a_new_trace(header: str | None) -> None:
    trace = continued(header)
    assert re.fullmatch("[0-9a-f]{32}", trace.trace_id)
    assert trace.trace_id != TRACE
    assert trace.parent_id == ""
    assert re.fullmatch("[0-9a-f]{16}", trace.span_id)


@pytest.mark.parametrize("text", ["a", "2f1c-9", "shop/order:17", "x" * 128])
def test_a_request_id_that_fits_in_a_log_is_taken_over(text: str) -> None:
    assert request_id(text) == text


@pytest.mark.parametrize("text", [None, "", "a b", "a\nb", 'a"b', "é", "x" * 129])
def test_any_other_is_replaced(text: str | None) -> None:
    made = request_id(text)
    assert made != text
    assert re.fullmatch("[0-9a-f]{16}", made)
