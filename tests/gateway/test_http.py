from __future__ import annotations

import base64
import json
import logging
import socket
import threading
import time
from typing import Any

import pytest

from tests.fakes import LINES, FakeReplica, png
from tests.gateway.harness import Answer, Door, options
from toolkit.client import protocol
from toolkit.gateway import access
from toolkit.gateway.trace import continued

IMAGE = base64.b64encode(png()).decode()
PREDICTION = {"lines": LINES, "width": 64, "height": 32}
JSON = {"Content-Type": "application/json"}


def refused(answer: Answer, status: int, message: str = "") -> None:
    """The answer is an error of ours: real status, the same code in the body, and something to do about it."""
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/json"
    error = answer.json["error"]
    assert error["code"] == status
    assert message in error["message"]
    assert error["remedy"]


def asked(request: Any) -> bytes:
    (tensor,) = request.tensors
    assert (tensor.name, tensor.elem_type) == ("image", protocol.FILE_TYPE)
    return bytes(tensor.byte_data)


def receive(connection: socket.socket) -> bytes:
    return connection.recv(65536)


def test_an_image_is_answered_with_its_lines_and_its_size(door: Door) -> None:
    answer = door.ask("POST", "/predict/ocr", {"image": IMAGE})
    assert (answer.status, answer.json) == (200, PREDICTION)
    assert answer.headers["content-type"] == "application/json"


def test_the_replica_is_asked_by_name_and_gets_the_file_as_it_is(door: Door, replica: FakeReplica) -> None:
    door.ask("POST", "/predict/ocr", {"image": IMAGE})
    (request,) = replica.plan.seen
    assert (request.name, request.method) == ("ocr", "prediction")
    assert asked(request) == png()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "body: Invalid JSON"),
        (b"{", "body: Invalid JSON"),
        (b"\xff\xfe", "body: Invalid JSON"),
        (b"[]", "body: "),
        (b"{}", "image: Field required"),
        (b'{"image": null}', "image: Input should be a valid string"),
        (b'{"image": 5}', "image: Input should be a valid string"),
        (b'{"image": ""}', "the image is missing"),
        (b'{"image": "###"}', "not base64"),
        (b'{"image": "QUJD\\nREVG"}', "not base64"),
        (b'{"image": "QUJ"}', "not base64"),
        ('{"image": "中文"}'.encode(), "not base64"),
        (b'{"image": "data:image/png;base64,QUJD"}', "data URL"),
        (b'{"image": "QUJD", "threshold": 1}', "threshold: Extra inputs"),
    ],
)
def test_a_body_that_cannot_be_an_image_is_refused_before_the_replica(
    door: Door, replica: FakeReplica, body: bytes, message: str
) -> None:
    refused(door.ask("POST", "/predict/ocr", body, JSON), 400, message)
    assert replica.plan.seen == []


def test_the_remedy_for_a_data_url_names_the_prefix(door: Door) -> None:
    answer = door.ask("POST", "/predict/ocr", {"image": "data:image/png;base64," + IMAGE})
    assert "data:image/...;base64," in answer.json["error"]["remedy"]


def test_what_is_not_an_image_is_400_in_the_words_of_the_replica(door: Door) -> None:
    text = base64.b64encode(b"plain text").decode()
    refused(door.ask("POST", "/predict/ocr", {"image": text}), 422, "not an image")


@pytest.mark.parametrize(
    ("err_no", "status"),
    [(51, 400), (52, 413), (54, 422), (3002, 404), (53, 500), (4000, 500), (6000, 500), (10000, 500)],
)
def test_an_error_number_of_the_replica_becomes_a_status(
    door: Door, replica: FakeReplica, err_no: int, status: int
) -> None:
    replica.plan.err_no, replica.plan.err_msg = err_no, "planned"
    refused(door.ask("POST", "/predict/ocr", {"image": IMAGE}), status, "planned")


def test_an_unknown_model_is_404_and_the_remedy_names_the_one_there_is(door: Door) -> None:
    answer = door.ask("POST", "/predict/nope", {"image": IMAGE})
    refused(answer, 404, "nope")
    assert "ocr" in answer.json["error"]["remedy"]


@pytest.mark.parametrize("path", ["/nothing", "/predict", "/predict/ocr/", "/predict/ocr/more", "/redoc"])
def test_an_unknown_path_is_404(door: Door, path: str) -> None:
    refused(door.ask("GET", path), 404)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/predict/ocr"), ("PUT", "/predict/ocr"), ("POST", "/healthz"), ("DELETE", "/")],
)
def test_a_wrong_method_is_405_and_says_which_are_allowed(door: Door, method: str, path: str) -> None:
    answer = door.ask(method, path)
    refused(answer, 405)
    assert answer.headers["allow"] == ("POST" if path.startswith("/predict") else "GET")


@pytest.mark.parametrize(
    "headers", [{}, {"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"}]
)
def test_a_body_that_can_be_no_image_by_its_type_is_415(door: Door, headers: dict[str, str]) -> None:
    body = json.dumps({"image": IMAGE}).encode()
    refused(door.ask("POST", "/predict/ocr", body, headers), 415)


def test_a_charset_beside_the_content_type_is_fine(door: Door) -> None:
    body = json.dumps({"image": IMAGE}).encode()
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert door.ask("POST", "/predict/ocr", body, headers).status == 200


def test_a_body_over_the_limit_is_413_and_the_client_gets_to_read_that(door: Door) -> None:
    refused(door.ask("POST", "/predict/ocr", {"image": "A" * 200_000}), 413, "100000 bytes")


def test_a_declared_length_over_the_limit_is_413_before_any_body_is_sent(door: Door) -> None:
    with door.connect() as connection:
        head = "POST /predict/ocr HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: 999999999999\r\n\r\n".encode())
        assert receive(connection).startswith(b"HTTP/1.1 413")


def test_a_chunked_body_without_a_length_is_413_as_soon_as_it_is_over_the_limit(door: Door) -> None:
    with door.connect() as connection:
        head = "POST /predict/ocr HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        chunk = b"2710\r\n" + b"A" * 10_000 + b"\r\n"
        for _ in range(11):
            connection.sendall(chunk)
        # The last chunk, of length zero, never comes.
        assert receive(connection).startswith(b"HTTP/1.1 413")


def test_a_body_that_does_not_arrive_is_408_at_the_deadline(door: Door) -> None:
    with door.connect() as connection:
        head = (
            "POST /predict/ocr HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-Timeout-Ms: 200\r\n"
        )
        connection.sendall(f"{head}Content-Length: 100\r\n\r\n".encode() + b"{")
        assert receive(connection).startswith(b"HTTP/1.1 408")


def test_a_client_may_set_a_deadline(door: Door, replica: FakeReplica) -> None:
    replica.plan.delay = 1.0
    refused(door.ask("POST", "/predict/ocr", {"image": IMAGE}, {"X-Timeout-Ms": "200"}), 504)


def test_a_client_cannot_ask_for_more_time_than_the_service_allows(replica: FakeReplica) -> None:
    replica.plan.delay = 4.0
    with Door(replica.target, settings=options(deadline=0.2)) as door:
        for asked in ("60000", "9" * 400):
            refused(door.ask("POST", "/predict/ocr", {"image": IMAGE}, {"X-Timeout-Ms": asked}), 504)


@pytest.mark.parametrize("asked", ["0", "-5", "1.5", "soon", "", "²"])
def test_a_deadline_that_is_no_number_is_400(door: Door, asked: str) -> None:
    headers = {"X-Timeout-Ms": asked.encode("latin-1").decode("latin-1")}
    refused(door.ask("POST", "/predict/ocr", {"image": IMAGE}, headers), 400, "X-Timeout-Ms")


def test_one_request_more_than_allowed_is_429_with_retry_after(replica: FakeReplica) -> None:
    replica.plan.delay = 1.0
    with Door(replica.target, settings=options(queue=0), depth=1) as door:
        first: list[Answer] = []
        thread = threading.Thread(
            target=lambda: first.append(door.ask("POST", "/predict/ocr", {"image": IMAGE}))
        )
        thread.start()
        assert replica.plan.arrived.wait(5)
        second = door.ask("POST", "/predict/ocr", {"image": IMAGE})
        refused(second, 429)
        assert second.headers["retry-after"] == "1"
        thread.join()
        assert first[0].status == 200
        assert door.ask("POST", "/predict/ocr", {"image": IMAGE}).status == 200


def test_a_client_that_leaves_gives_its_place_back_but_its_replica_only_when_that_is_done(
    replica: FakeReplica,
) -> None:
    """An inference cannot be interrupted: who leaves early must not make room for more work than there is."""
    replica.plan.delay = 1.0
    with Door(replica.target, settings=options(queue=0), depth=1) as door:
        body = json.dumps({"image": IMAGE})
        with door.connect() as connection:
            head = "POST /predict/ocr HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
            assert replica.plan.arrived.wait(5)
            replica.plan.delay = 0.0
        began = time.monotonic()
        answer = door.ask("POST", "/predict/ocr", {"image": IMAGE})
        while answer.status == 429 and time.monotonic() < began + 0.5:
            # It takes the front door a moment to notice.
            answer = door.ask("POST", "/predict/ocr", {"image": IMAGE})
        assert answer.status == 200
        assert time.monotonic() - began > 0.5
        assert not replica.plan.cancelled.is_set()


def test_a_client_that_leaves_in_the_middle_of_its_body_gives_its_place_back(replica: FakeReplica) -> None:
    with Door(replica.target, settings=options(queue=0), depth=1) as door:
        with door.connect() as connection:
            head = "POST /predict/ocr HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            connection.sendall(f"{head}Content-Length: 100\r\n\r\n".encode() + b"{")
        for _ in range(100):
            answer = door.ask("POST", "/predict/ocr", {"image": IMAGE})
            if answer.status == 200:
                break
        assert answer.status == 200


def test_while_the_supervisor_says_no_nothing_reaches_the_replica(replica: FakeReplica) -> None:
    ready = threading.Event()
    with Door(replica.target, is_ready=ready.is_set) as door:
        answer = door.ask("POST", "/predict/ocr", {"image": IMAGE})
        refused(answer, 503, "not ready")
        assert answer.headers["retry-after"] == "1"
        assert (door.ask("GET", "/healthz").status, door.ask("GET", "/readyz").status) == (200, 503)
        assert replica.plan.seen == []
        ready.set()
        assert door.ask("GET", "/readyz").status == 200
        assert door.ask("POST", "/predict/ocr", {"image": IMAGE}).status == 200


def test_a_replica_that_crashes_on_a_request_is_500_and_the_next_one_is_answered(
    door: Door, replica: FakeReplica
) -> None:
    replica.plan.crash = True
    refused(door.ask("POST", "/predict/ocr", {"image": IMAGE}), 500, "UNKNOWN")
    replica.plan.crash = False
    assert door.ask("POST", "/predict/ocr", {"image": IMAGE}).status == 200


def test_an_answer_of_more_than_four_megabytes_arrives_whole(door: Door, replica: FakeReplica) -> None:
    replica.plan.lines = [{**LINES[0], "text": "字" * 2_000_000}]
    assert len(door.ask("POST", "/predict/ocr", {"image": IMAGE}).json["lines"][0]["text"]) == 2_000_000


def test_the_root_lists_models_version_and_endpoints(door: Door) -> None:
    index: dict[str, Any] = door.ask("GET", "/").json
    assert index["models"] == ["ocr", "ocr.det"]
    assert index["version"]
    assert "POST /predict/{model}" in index["endpoints"].values()


def test_the_openapi_description_shows_what_to_send_and_what_comes_back(door: Door) -> None:
    operation = door.ask("GET", "/openapi.json").json["paths"]["/predict/{model}"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert schema["required"] == ["image"]
    # What is in the answer is the pipeline's affair.
    answer = operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert answer["type"] == "object"
    assert answer["additionalProperties"]
    assert {"400", "413", "429", "503", "504"} <= set(operation["responses"])


def access_lines(caplog: pytest.LogCaptureFixture, *ids: str) -> list[dict[str, Any]]:
    """The lines of these requests; they are written when the answers have gone out."""
    end = time.monotonic() + 5
    while time.monotonic() < end:
        messages = [each.getMessage() for each in caplog.records if each.name == access.LOGGER]
        lines = {line["request_id"]: line for line in map(json.loads, messages)}
        if set(ids) <= set(lines):
            break
        time.sleep(0.01)
    return [lines[each] for each in ids]


def test_every_request_leaves_one_line_of_json_in_the_access_log(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger=access.LOGGER):
        answer = door.ask("POST", "/predict/ocr", {"image": "###"}, {"X-Request-Id": "a"})
        door.ask("GET", "/logged%0ab", headers={"X-Request-Id": "b"})
        door.ask("GET", "/healthz", headers={"X-Request-Id": "probe"})
        door.ask("POST", "/predict/ocr", {"image": IMAGE}, {"X-Request-Id": "c"})
        refused_one, strange, answered = access_lines(caplog, "a", "b", "c")
    assert (refused_one["path"], refused_one["status"]) == ("/predict/ocr", 400)
    assert refused_one["bytes"] == len(answer.text.encode())
    assert "not base64" in refused_one["error"]
    assert (strange["path"], strange["status"]) == ("/logged\\nb", 404)
    assert (answered["protocol"], answered["replica"], answered["attempts"]) == ("http", 0, 1)
    assert answered["ms"] >= answered["queue_ms"] >= 0
    assert not any("probe" in each.getMessage() for each in caplog.records)


def test_identity_and_trace_of_a_request_are_taken_over(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"X-Request-Id": "order-17", "traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    with caplog.at_level(logging.INFO, logger=access.LOGGER):
        answer = door.ask("POST", "/predict/ocr", {"image": IMAGE}, headers)
        (line,) = access_lines(caplog, "order-17")
    assert (line["trace_id"], line["parent_id"]) == (trace, "00f067aa0ba902b7")
    assert answer.headers["x-request-id"] == "order-17"


def test_the_time_in_the_access_log_is_read_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seconds of one reading and milliseconds of a later one may be a second apart."""
    ticks = iter([1_699_999_999_999_000_000, 1_700_000_000_000_000_000])
    monkeypatch.setattr(time, "time_ns", lambda: next(ticks))
    with caplog.at_level(logging.INFO, logger=access.LOGGER):
        access.Record("http", "GET", "/", "a", continued(None)).log(200, 0)
    (line,) = [each.getMessage() for each in caplog.records if each.name == access.LOGGER]
    assert json.loads(line)["time"] == "2023-11-14T22:13:19.999Z"


@pytest.mark.parametrize("content_type", ["image/png", "application/octet-stream"])
def test_an_image_can_be_the_body_itself(door: Door, replica: FakeReplica, content_type: str) -> None:
    answer = door.ask("POST", "/predict/ocr", png(), {"Content-Type": content_type})
    assert (answer.status, answer.json) == (200, PREDICTION)
    assert asked(replica.plan.seen[0]) == png()


def form(*parts: bytes, boundary: str = "b") -> tuple[bytes, dict[str, str]]:
    body = b"".join(b"--b\r\nContent-Disposition: form-data; " + part + b"\r\n" for part in parts)
    return body + b"--b--\r\n", {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def test_an_image_can_be_a_file_of_a_form(door: Door, replica: FakeReplica) -> None:
    file = b'name="image"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n' + png()
    body, headers = form(b'name="note"\r\n\r\nhello', file)
    answer = door.ask("POST", "/predict/ocr", body, headers)
    assert (answer.status, answer.json) == (200, PREDICTION)
    assert asked(replica.plan.seen[0]) == png()


@pytest.mark.parametrize(
    ("body", "headers", "message"),
    [
        (*form(b'name="file"\r\n\r\nx'), "no field `image`"),
        (*form(b'name="image"\r\n\r\nx', b'name="image"\r\n\r\ny'), "twice"),
        (*form(b'name="image"\r\n\r\n'), "the image is missing"),
        (*form(b'name="image"\r\n\r\nx', boundary="other"), "cannot be read"),
        (
            form(b'name="image"\r\n\r\nx')[0][:-8],
            {"Content-Type": "multipart/form-data; boundary=b"},
            "cut off",
        ),
        (b"", {"Content-Type": "multipart/form-data; boundary=b"}, "cannot be read"),
        (b"x", {"Content-Type": "multipart/form-data"}, "boundary"),
        (b"", {"Content-Type": "image/png"}, "the image is missing"),
    ],
)
def test_a_form_or_body_without_an_image_is_400(
    door: Door, replica: FakeReplica, body: bytes, headers: dict[str, str], message: str
) -> None:
    refused(door.ask("POST", "/predict/ocr", body, headers), 400, message)
    assert replica.plan.seen == []
