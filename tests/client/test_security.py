"""Keys and certificates: both clients against a front door that asks for them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Union

import pytest

from tests.fakes import LINES, FakeReplica, png
from tests.gateway.certificates import Authority, needs_openssl
from tests.gateway.harness import Door, options
from toolkit.client import GrpcClient, HttpClient, Unauthenticated, Unavailable
from toolkit.client.security import Access
from toolkit.client.transport import HttpTransport
from toolkit.gateway.tls import Tls
from toolkit.smoke import Golden, smoke

KEY = "a-key-of-the-tests-0123456789"

Client = Union[HttpClient, GrpcClient]


def connect(kind: str, door: Door, **settings: Any) -> Client:
    if kind == "grpc":
        return GrpcClient(door.target, **settings)
    return HttpClient(door.url.replace("http:", "https:") if "ca" in settings else door.url, **settings)


@pytest.fixture(params=["http", "grpc"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def locked(replica: FakeReplica, tmp_path: Path) -> Iterator[Door]:
    keys = tmp_path / "keys"
    keys.write_text(f"tests:{KEY}\n")
    keys.chmod(0o600)
    with Door(replica.target, settings=options(keys_file=keys)) as door:
        yield door


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates") / "authority")


@pytest.fixture(scope="module")
def server_files(authority: Authority) -> tuple[Path, Path]:
    return authority.issue("server")


@pytest.fixture
def encrypted(replica: FakeReplica, server_files: tuple[Path, Path]) -> Iterator[Door]:
    with Door(replica.target, settings=options(tls=Tls(*server_files))) as door:
        yield door


@pytest.fixture
def mutual(replica: FakeReplica, server_files: tuple[Path, Path], authority: Authority) -> Iterator[Door]:
    with Door(replica.target, settings=options(tls=Tls(*server_files, authority.cert))) as door:
        yield door


# --- API keys


def test_with_its_key_a_client_is_answered(kind: str, locked: Door) -> None:
    with connect(kind, locked, api_key=KEY) as client:
        assert len(client.predict("ocr", png()).lines) == len(LINES)
        assert client.ready()


@pytest.mark.parametrize("key", [None, "another-key-0123456789"])
def test_without_a_key_that_is_known_a_client_is_unauthenticated(
    kind: str, locked: Door, key: str | None
) -> None:
    with connect(kind, locked, api_key=key) as client, pytest.raises(Unauthenticated) as caught:
        client.predict("ocr", png())
    assert caught.value.status == 401


@pytest.mark.parametrize("key", ["", "two words", "line\nbreak", "schlüssel", "a\r\nX-Other: 1"])
def test_a_key_that_cannot_be_sent_is_refused_at_once_and_not_shown(kind: str, key: str) -> None:
    kind_of_client = HttpClient if kind == "http" else GrpcClient
    with pytest.raises(ValueError, match="an API key has") as caught:
        kind_of_client(api_key=key)
    assert not key or key not in str(caught.value)


def test_a_key_is_in_no_representation() -> None:
    assert KEY not in repr(Access(KEY))
    assert KEY not in repr(vars(HttpTransport("http://127.0.0.1:1", Access(KEY))))


# --- TLS


@needs_openssl
def test_a_service_is_believed_that_its_authority_signed(
    kind: str, encrypted: Door, authority: Authority
) -> None:
    with connect(kind, encrypted, ca=authority.cert) as client:
        assert client.ready()
        assert client.predict("ocr", png()).width == 64


@needs_openssl
def test_a_service_that_another_signed_is_not_believed(kind: str, encrypted: Door, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other")
    with connect(kind, encrypted, ca=other.cert, timeout=5) as client:
        assert not client.ready()
        with pytest.raises(Unavailable):
            client.predict("ocr", png())


@needs_openssl
def test_the_systems_authorities_do_not_know_the_service(kind: str, encrypted: Door) -> None:
    with (
        (
            HttpClient(encrypted.url.replace("http:", "https:"), 5)
            if kind == "http"
            else GrpcClient(encrypted.target, 5, tls=True)
        ) as client,
        pytest.raises(Unavailable),
    ):
        client.predict("ocr", png())


@needs_openssl
def test_a_client_with_a_certificate_is_let_in_where_one_is_asked_for(
    kind: str, mutual: Door, authority: Authority
) -> None:
    cert, key = authority.issue(f"client-{kind}")
    with connect(kind, mutual, ca=authority.cert, cert=cert, key=key) as client:
        assert client.predict("ocr", png()).width == 64
    with connect(kind, mutual, ca=authority.cert, timeout=5) as client, pytest.raises(Unavailable):
        client.predict("ocr", png())


@needs_openssl
def test_many_calls_share_an_encrypted_connection_and_survive_its_end(
    replica: FakeReplica, server_files: tuple[Path, Path], authority: Authority
) -> None:
    settings = options(tls=Tls(*server_files))
    with Door(replica.target, settings=settings) as door:
        client = connect("http", door, ca=authority.cert)
        for _ in range(3):
            client.predict("ocr", png())
        again = options(tls=Tls(*server_files), http_port=door.http_port, grpc_port=door.grpc_port)
    with Door(replica.target, settings=again), client:
        assert client.predict("ocr", png()).width == 64


@needs_openssl
def test_files_that_are_no_certificates_are_refused_at_once(
    kind: str, authority: Authority, tmp_path: Path
) -> None:
    def make(**settings: Any) -> Client:
        return HttpClient("https://127.0.0.1:1", **settings) if kind == "http" else GrpcClient(**settings)

    nothing = tmp_path / "nothing.pem"
    nothing.write_text("nothing")
    cert, key = authority.issue(f"files-{kind}")
    for wrong in ({"ca": nothing}, {"ca": tmp_path / "missing"}, {"cert": cert, "key": nothing}):
        with pytest.raises(OSError, match=r".+"):
            make(**wrong)
    for lonely in ({"cert": cert}, {"key": key}):
        with pytest.raises(ValueError, match="come together"):
            make(**lonely)


def test_certificates_without_encryption_are_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="https:// only"):
        HttpClient("http://127.0.0.1:1", ca=tmp_path / "ca.pem")
    with pytest.raises(ValueError, match="TLS only"):
        GrpcClient(ca=tmp_path / "ca.pem", tls=False)


@needs_openssl
def test_smoke_asks_an_encrypted_service_that_wants_a_key(
    replica: FakeReplica, server_files: tuple[Path, Path], authority: Authority, tmp_path: Path
) -> None:
    keys, image = tmp_path / "keys", tmp_path / "sign.png"
    keys.write_text(KEY)
    keys.chmod(0o600)
    image.write_bytes(png())
    golden = Golden("sign", image, {"lines": LINES, "width": 64, "height": 32})
    with Door(replica.target, settings=options(tls=Tls(*server_files), keys_file=keys)) as door:
        url = door.url.replace("http:", "https:")
        access = Access(KEY, authority.cert)
        report = smoke(url, door.target, "ocr", [golden], timeout=10, rounds=1, access=access)
    assert report.rounds == 1
    assert KEY not in str(report.to_json())
