from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any, Optional

import pytest

from tests.soak import __main__ as program
from tests.soak import course, memory, report
from tests.soak.course import Course
from tests.soak.load import Load


def found(
    begin: Optional[int], end: Optional[int], failures: int = 0, completed: int = 1000
) -> dict[str, Any]:
    """Figures of a soak of 1,000 requests, with so many MB at 500 and at 1,000."""
    seen = Course(1000)
    for point, size in ((500, begin), (1000, end)):
        if size is not None:
            seen.add(point, {7: size * 2**20})
    load = Load([0.05] * (completed - failures), dict.fromkeys(range(failures), "Unavailable: full"), 10.0)
    return report.figures(load, seen, {500: {"0": 99 * 2**20}})


@pytest.mark.parametrize(
    ("begin", "end", "failures", "completed", "passed"),
    [
        (1000, 1100, 0, 1000, True),
        (1000, 900, 0, 1000, True),
        (1000, 1101, 0, 1000, False),
        (1000, 1000, 1, 1000, False),
        (1000, 1000, 0, 999, False),
        (1000, None, 0, 1000, False),
        (None, 1000, 0, 1000, False),
    ],
)
def test_a_soak_passes_if_all_was_answered_and_memory_grew_by_a_tenth_at_most(
    begin: Optional[int], end: Optional[int], failures: int, completed: int, passed: bool
) -> None:
    figures = found(begin, end, failures, completed)
    assert figures["passed"] is passed
    assert list(report.text(figures))[-1].startswith("passed:" if passed else "FAILED:")


def test_figures_are_what_json_carries_with_sizes_in_bytes_by_point() -> None:
    figures = json.loads(json.dumps(found(1000, 1050)))
    assert figures["points"][0] == {
        "request": 500,
        "largest": 1000 * 2**20,
        "replicas": {"7": 1000 * 2**20},
        "metrics": {"0": 99 * 2**20},
    }
    assert (figures["ratio"], figures["per_second"], figures["p50"]) == (1.05, 100.0, 50.0)


def test_people_see_each_point_in_megabytes_and_how_it_compares_with_the_first() -> None:
    lines = [line.split() for line in report.text(found(1000, 1050))]
    assert ["500", "1000", "1.000", "1000", "(99)"] in lines
    assert ["1000", "1050", "1.050", "1050"] in lines


def test_people_see_the_first_failures_and_how_many_more_there_are() -> None:
    text = "\n".join(report.text(found(1000, 1000, failures=8)))
    assert text.count("failed: Unavailable: full") == 5
    assert "and 3 more" in text
    assert "8 requests failed" in text


class _Service(http.server.BaseHTTPRequestHandler):
    """Reads nothing in any image; refuses what `refuse` says, by the count of requests."""

    protocol_version = "HTTP/1.1"
    refuse: frozenset[int] = frozenset()
    asked = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        type(self).asked += 1
        self._send(503 if self.asked in self.refuse else 200, {"lines": [], "width": 1, "height": 1})

    def do_GET(self) -> None:
        self._send(404, {})

    def _send(self, status: int, data: object) -> None:
        body = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    _Service.refuse, _Service.asked = frozenset(), 0
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Service) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def run(url: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, Any]:
    arguments = ["--http", url, "--pid", "1", "--requests", "20", "--clients", "1", "--json"]
    code = program.main(arguments)
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(("growth", "refused", "code"), [(1, (), 0), (9, (), 1), (1, (7,), 1)])
def test_the_exit_code_tells_growth_and_failures(
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    growth: int,
    refused: tuple[int, ...],
    code: int,
) -> None:
    # Points at 10 and 20 requests in the place of 500 and 1,000.
    monkeypatch.setattr(course, "EVERY", 10)
    monkeypatch.setattr(course, "AROUND", 1)
    monkeypatch.setattr(memory, "resident", lambda _: {7: 100 + growth * _Service.asked})
    _Service.refuse = frozenset(refused)
    ended, figures = run(url, capsys)
    assert ended == code
    assert _Service.asked == 20
    assert len(figures["failures"]) == len(refused)
    assert [point["request"] for point in figures["points"]] == [10, 20]


def test_a_process_without_replicas_is_nothing_to_soak(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(memory, "resident", lambda _: {})
    assert program.main(["--http", url, "--pid", "1"]) == 2
    assert "process 1 has no replica" in capsys.readouterr().err
    assert _Service.asked == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--requests", "999"], "--requests must be at least 1000"),
        (["--clients", "0"], "--clients must be at least 1"),
        ([], "no service runs in"),
    ],
)
def test_what_cannot_be_soaked_is_said_at_once(
    tmp_path: Any, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        program.main(["--home", str(tmp_path), *arguments])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
