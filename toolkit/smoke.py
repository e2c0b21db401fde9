"""Ask a running service real questions over every protocol, and compare what it says with what it should."""

from __future__ import annotations

import json
import re
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from toolkit.client import BadRequest, ClientError, GrpcClient, HttpClient, NotFound
from toolkit.client.contents import as_text, in_json, predict_file
from toolkit.client.protocol import BAD_REQUEST, UNPROCESSABLE, http_status
from toolkit.client.security import Access
from toolkit.client.transport import HttpAnswer, HttpTransport
from toolkit.content.kinds import FIELDS, Kind
from toolkit.errors import SmokeError

SCORE_TOLERANCE = 1e-2
BOX_TOLERANCE = 1.0

HTTP, GRPC, PADDLE = "HTTP", "gRPC", "Paddle Serving HTTP"

_JSON = {"Content-Type": "application/json"}
# Members of an answer whose numbers are pixels.
_BOX = re.compile(r"(^|\.)box(es)?(\[|$)")
_LONGEST = 200


@dataclass(frozen=True)
class Refused:
    """What every pipeline that takes a kind of content must refuse.

    Attributes:
        what: it is.
        content: of a file.
        err_no: that a replica answers.
        malformed: another one, for the front door to refuse with status 400, in words.
        member: that one, in the JSON body of `POST /predict/{model}`.
    """

    what: str
    content: bytes
    err_no: int
    malformed: str
    member: object


REFUSED: Mapping[Kind, Refused] = {
    "image": Refused("not an image", b"this is not an image", UNPROCESSABLE, "broken base64", "###"),
    "text": Refused("an empty text", b"", BAD_REQUEST, "a number for a text", 5),
    "json": Refused("neither an object nor an array", b"5", BAD_REQUEST, "a text for an object", "###"),
}


@dataclass(frozen=True)
class Golden:
    """One question whose answer is known.

    Attributes:
        file: of what is asked.
        expected: the answer, as the gate recorded it.
    """

    name: str
    file: Path
    expected: Mapping[str, Any]


@dataclass(frozen=True)
class Latency:
    """Milliseconds as the client sees them, over all questions and rounds of one protocol."""

    p50_ms: float
    max_ms: float


@dataclass(frozen=True)
class SmokeReport:
    """What was asked, and how fast the answers came; that there is one means that all of them were right."""

    model: str
    http_url: str
    grpc_target: str
    goldens: tuple[str, ...]
    rounds: int
    refusals: tuple[str, ...]
    latencies: Mapping[str, Latency]

    def to_json(self) -> dict[str, Any]:
        """The report as a JSON object."""
        return asdict(self)


def smoke(
    http_url: str,
    grpc_target: str,
    model: str,
    goldens: Sequence[Golden],
    timeout: float,
    rounds: int = 5,
    access: Access = Access(),  # noqa: B008 # it is frozen
    kind: Kind = "image",
) -> SmokeReport:
    """Ask every golden question, `rounds` times over each protocol, and for errors that must come.

    To one question all answers must be equal to the last digit, whatever protocol carried them: there is one
    model behind all of them. Against the expected answer texts, whole numbers and the lengths of lists must be equal,
    what is called `box` or `boxes` within 1 pixel, and other numbers within 0.01, or 1 % of those beyond 1: the same
    engine, options and machine gave it, so the slack is only for the order in which threads add floats, and for what
    that does to a rounded coordinate.

    Args:
        timeout: seconds for each request.
        access: key and certificates, for a service that asks for them.
        kind: of what the pipeline takes.

    Raises:
        SmokeError: something differed; the message lists all that did.
    """
    latencies: dict[str, list[float]] = {}
    differences = [] if goldens else ["there is no golden request to ask"]
    with _Service(http_url, grpc_target, model, timeout, access, kind) as service:
        for golden in goldens:
            differences += _check_golden(service, golden, rounds, latencies)
        refusals = {**_http_refusals(service), **_grpc_refusals(service)}
    differences += [f"{name}: {problem}" for name, problem in refusals.items() if problem]
    if differences:
        raise SmokeError(
            "\n  - ".join(
                [f"the service does not answer as it should, {len(differences)} differences:", *differences]
            ),
            where=f"{http_url}, {grpc_target}",
            remedy="see the log of the service; if the model was meant to change, evaluate it anew",
        )
    return SmokeReport(
        model=model,
        http_url=http_url,
        grpc_target=grpc_target,
        goldens=tuple(golden.name for golden in goldens),
        rounds=rounds,
        refusals=tuple(refusals),
        latencies={name: Latency(statistics.median(times), max(times)) for name, times in latencies.items()},
    )


class _Service:
    """The three ways to ask for a prediction, each giving the JSON object that the service answered."""

    def __init__(
        self,
        http_url: str,
        grpc_target: str,
        model: str,
        timeout: float,
        access: Access,
        kind: Kind,
    ) -> None:
        self.model = model
        self.kind = kind
        self.timeout = timeout
        self.transport = HttpTransport(http_url, access)
        self.http = HttpClient(http_url, timeout, **vars(access))
        tls = http_url.startswith("https:")
        self.grpc = GrpcClient(grpc_target, timeout, tls=tls, **vars(access))
        self.protocols: dict[str, Callable[[bytes], Any]] = {
            HTTP: lambda data: predict_file(self.http, model, kind, data).raw,
            GRPC: lambda data: predict_file(self.grpc, model, kind, data).raw,
            PADDLE: self._paddle,
        }

    def __enter__(self) -> _Service:
        return self

    def __exit__(self, *_: object) -> None:
        self.transport.close()
        self.http.close()
        self.grpc.close()

    def post(self, path: str, body: object, headers: Mapping[str, str] = _JSON) -> HttpAnswer:
        return self.transport.request("POST", path, json.dumps(body).encode(), headers, timeout=self.timeout)

    def _paddle(self, data: bytes) -> Any:
        body = {"key": [FIELDS[self.kind]], "value": [as_text(self.kind, data)]}
        answer = self.post(f"/{self.model}/prediction", body, {})
        told = json.loads(answer.body)
        if answer.status != 200 or told["err_no"] != 0:
            raise ClientError(answer.body.decode(errors="replace"), answer.status)
        return json.loads(dict(zip(told["key"], told["value"]))["result"])


def _check_golden(
    service: _Service, golden: Golden, rounds: int, latencies: dict[str, list[float]]
) -> Iterator[str]:
    content = golden.file.read_bytes()
    reference: tuple[str, Any] | None = None
    for protocol, ask in service.protocols.items():
        for _ in range(rounds):
            started = time.perf_counter()
            try:
                answer = ask(content)
            except (ClientError, ValueError, KeyError, TypeError) as error:
                got = f"{type(error).__name__}: {error}"
                yield f"{golden.name} over {protocol}: expected a prediction, got {got}"
                break
            latencies.setdefault(protocol, []).append((time.perf_counter() - started) * 1000)
            if reference is None:
                reference = (protocol, answer)
                yield from (
                    f"{golden.name} over {protocol}: {each}" for each in compare(golden.expected, answer)
                )
            elif answer != reference[1]:
                what = "; ".join(_exactly(reference[1], answer))
                yield f"{golden.name} over {protocol}: not what {reference[0]} answered: {what}"
                break


def compare(expected: Any, got: Any, where: str = "") -> list[str]:
    """What differs between two answers, beyond the tolerances; nothing if they agree.

    Args:
        expected: parsed JSON.
        got: likewise.
        where: the place in the answer that these are, as `lines[0].box`.
    """
    if isinstance(expected, Mapping) and isinstance(got, Mapping):
        return [
            each for name in _names(expected, got) for each in _compare_member(name, expected, got, where)
        ]
    if isinstance(expected, list) and isinstance(got, list) and len(expected) != len(got):
        return [
            f"{_at(where)}expected {len(expected)} items {_short(expected)}, got {len(got)} {_short(got)}"
        ]
    if isinstance(expected, list) and isinstance(got, list):
        pairs = enumerate(zip(expected, got))
        return [each for index, pair in pairs for each in compare(*pair, f"{where}[{index}]")]
    if _same(expected, got, where):
        return []
    return [f"{_at(where)}expected {_short(expected)}, got {_short(got)}"]


def _names(expected: Mapping[str, Any], got: Mapping[str, Any]) -> list[str]:
    return [*expected, *(name for name in got if name not in expected)]


def _compare_member(name: str, expected: Mapping[str, Any], got: Mapping[str, Any], where: str) -> list[str]:
    place = f"{where}.{name}" if where else name
    if name in expected and name in got:
        return compare(expected[name], got[name], place)
    return [f"{place}: {'missing' if name in expected else 'not expected'}"]


def _same(expected: Any, got: Any, where: str) -> bool:
    numbers = all(type(item) in (int, float) for item in (expected, got))
    if not numbers or not any(isinstance(item, float) for item in (expected, got)):
        return type(expected) is type(got) and bool(expected == got)
    pixels = _BOX.search(where) is not None
    tolerance = BOX_TOLERANCE if pixels else SCORE_TOLERANCE * max(1.0, abs(expected))
    return bool(abs(expected - got) <= tolerance)


def _at(where: str) -> str:
    return f"{where}: " if where else ""


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _exactly(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    beyond = compare(first, second)
    return beyond or [f"expected exactly {json.dumps(first)}, got {json.dumps(second)}"]


def _http_refusals(service: _Service) -> dict[str, str]:
    path, field, refused = f"/predict/{service.model}", FIELDS[service.kind], REFUSED[service.kind]
    member = in_json(service.kind, refused.content)
    # The length alone must be enough: nothing follows these headers.
    huge = {**_JSON, "Content-Length": str(1 << 40)}
    return {
        f"HTTP, {refused.malformed}": _status(400, lambda: service.post(path, {field: refused.member})),
        f"HTTP, {refused.what}": _status(
            http_status(refused.err_no), lambda: service.post(path, {field: member})
        ),
        "HTTP, body too large": _status(413, lambda: _headers_only(service, path, huge)),
        "HTTP, unknown model": _status(404, lambda: service.post("/predict/no-such-model", {field: member})),
        "HTTP, wrong method": _status(
            405, lambda: service.transport.request("GET", path, timeout=service.timeout)
        ),
    }


def _headers_only(service: _Service, path: str, headers: Mapping[str, str]) -> HttpAnswer:
    # A connection of its own, since the server goes on waiting for a body.
    transport = HttpTransport(service.transport.url, service.transport.access)
    try:
        return transport.request("POST", path, b"", headers, timeout=service.timeout)
    finally:
        transport.close()


def _status(expected: int, ask: Callable[[], HttpAnswer]) -> str:
    try:
        answer = ask()
    except ClientError as error:
        return f"expected status {expected}, got {type(error).__name__}: {error}"
    if answer.status == expected:
        return ""
    return f"expected status {expected}, got {answer.status} {answer.body[:200].decode(errors='replace')}"


def _grpc_refusals(service: _Service) -> dict[str, str]:
    refused = REFUSED[service.kind]

    def ask(model: str) -> object:
        return predict_file(service.grpc, model, service.kind, refused.content)

    return {
        f"gRPC, {refused.what}": _raises(BadRequest, lambda: ask(service.model)),
        "gRPC, unknown model": _raises(NotFound, lambda: ask("no-such-model")),
    }


def _raises(expected: type[ClientError], ask: Callable[[], object]) -> str:
    try:
        answer = ask()
    except expected:
        return ""
    except ClientError as error:
        return f"expected {expected.__name__}, got {type(error).__name__}: {error}"
    return f"expected {expected.__name__}, got {answer}"
