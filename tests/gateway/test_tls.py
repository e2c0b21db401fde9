from __future__ import annotations

import asyncio
import http.client
import os
import ssl
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
import requests

from tests.gateway.certificates import Authority, der, needs_openssl, served
from tests.gateway.porch import Porch
from toolkit.errors import ServiceError
from toolkit.gateway import tls as certificates
from toolkit.gateway.tls import Tls, Watched, expires, grpc_credentials, reload, ssl_context

pytestmark = needs_openssl


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("theirs"))


@pytest.fixture
def files(authority: Authority, tmp_path: Path) -> Tls:
    """Certificate and key in files of their own, which the test may replace."""
    found = Tls(tmp_path / "cert.pem", tmp_path / "key.pem")
    put(authority.issue("server"), found)
    return found


def put(pair: tuple[Path, Path], files: Tls) -> None:
    """Replace certificate and key as a careful program does: each by one rename."""
    for source, target in zip(pair, (files.cert, files.key)):
        fresh = target.with_suffix(".new")
        fresh.write_bytes(source.read_bytes())
        fresh.chmod(0o600)
        fresh.replace(target)


@contextmanager
def serving(files: Tls) -> Iterator[Porch]:
    with Porch(context=ssl_context(files), credentials=lambda: grpc_credentials(files)) as porch:
        yield porch
        assert porch.unhandled == []


def renew_here(porch: Porch, files: Tls) -> None:
    """Within the loop of the server."""
    assert porch.config.ssl is not None
    porch.config.ssl = reload(porch.config.ssl, files)


def renew(porch: Porch, files: Tls) -> None:
    async def work() -> None:
        renew_here(porch, files)

    porch.run(work())


def asked(porch: Porch, authority: Authority, pair: tuple[Path, Path] | None = None) -> str:
    url = f"https://127.0.0.1:{porch.port}/"
    cert = (str(pair[0]), str(pair[1])) if pair else None
    return requests.get(url, verify=str(authority.cert), cert=cert, timeout=10).text


@contextmanager
def channel(
    porch: Porch, authority: Authority, pair: tuple[Path, Path] | None = None
) -> Iterator[grpc.Channel]:
    cert, key = (pair[0].read_bytes(), pair[1].read_bytes()) if pair else (None, None)
    credentials = grpc.ssl_channel_credentials(authority.cert.read_bytes(), key, cert)
    # Channels of one address share a connection, unless told otherwise.
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.secure_channel(f"127.0.0.1:{porch.grpc_port}", credentials, options) as opened:
        yield opened


def said(opened: grpc.Channel) -> bytes:
    say: Any = opened.unary_unary("/test.Echo/Say", None, None)
    answer: bytes = say(b"hello", timeout=10)
    return answer


def is_heard(porch: Porch, authority: Authority, pair: tuple[Path, Path] | None = None) -> bool:
    with channel(porch, authority, pair) as opened:
        try:
            return said(opened) == b"hello"
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            return False


def test_both_ports_are_served_to_whoever_trusts_the_authority(
    files: Tls, authority: Authority, stranger: Authority
) -> None:
    with serving(files) as porch:
        assert asked(porch, authority) == "hello"
        assert is_heard(porch, authority)
        with pytest.raises(requests.exceptions.SSLError):
            asked(porch, stranger)
        assert not is_heard(porch, stranger)


def test_a_client_in_plain_text_gets_nothing_and_the_port_goes_on(files: Tls, authority: Authority) -> None:
    with serving(files) as porch:
        with pytest.raises((http.client.HTTPException, OSError)):
            porch.ask()
        assert asked(porch, authority) == "hello"


def test_what_is_older_than_tls_1_2_is_refused(files: Tls) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname = False
    old.verify_mode = ssl.CERT_NONE
    # Else OpenSSL would not even try.
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with serving(files) as porch:
        with porch.connect() as plain, pytest.raises((ssl.SSLError, ConnectionError)):
            old.wrap_socket(plain)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with porch.connect() as plain, old.wrap_socket(plain) as wrapped:
            assert wrapped.version() == "TLSv1.2"


def test_clients_are_offered_http_1_1_and_nothing_else(files: Tls) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    with serving(files) as porch, porch.connect() as plain, context.wrap_socket(plain) as wrapped:
        assert wrapped.selected_alpn_protocol() == "http/1.1"


def test_with_a_client_ca_only_its_clients_are_served(
    files: Tls, authority: Authority, stranger: Authority
) -> None:
    mutual = replace(files, client_ca=authority.cert)
    ours, theirs = authority.issue("client"), stranger.issue("client")
    with serving(mutual) as porch:
        assert asked(porch, authority, ours) == "hello"
        assert is_heard(porch, authority, ours)
        for pair in (None, theirs):
            with pytest.raises((requests.exceptions.SSLError, requests.exceptions.ConnectionError)):
                asked(porch, authority, pair)
            assert not is_heard(porch, authority, pair)
        assert asked(porch, authority, ours) == "hello"


def test_a_new_certificate_is_served_to_new_connections_and_open_ones_go_on(
    files: Tls, authority: Authority, stranger: Authority
) -> None:
    trusting = ssl.create_default_context(cafile=str(authority.cert))
    with serving(files) as porch, channel(porch, authority) as opened:
        old = der(files.cert)
        connection = http.client.HTTPSConnection("127.0.0.1", porch.port, timeout=10, context=trusting)
        connection.connect()
        sock = connection.sock
        assert said(opened) == b"hello"
        assert served(porch.port) == served(porch.grpc_port, "h2") == old
        put(stranger.issue("server"), files)
        renew(porch, files)
        new = der(files.cert)
        assert served(porch.port) == served(porch.grpc_port, "h2") == new != old
        assert asked(porch, stranger) == "hello"
        assert is_heard(porch, stranger)
        assert not is_heard(porch, authority)
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"hello"
        assert connection.sock is sock
        assert said(opened) == b"hello"
        connection.close()


def test_a_client_ca_that_was_taken_away_lets_nobody_in_any_more(
    files: Tls, authority: Authority, stranger: Authority, tmp_path: Path
) -> None:
    mutual = replace(files, client_ca=tmp_path / "clients.pem")
    assert mutual.client_ca is not None
    mutual.client_ca.write_bytes(stranger.cert.read_bytes())
    former, present = stranger.issue("client"), authority.issue("client")
    context = ssl.create_default_context(cafile=str(authority.cert))
    # TLS 1.2 tells the session at once; with it a client could come back without its certificate.
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(*former)
    with serving(mutual) as porch:
        with porch.connect() as plain, context.wrap_socket(plain, server_hostname="127.0.0.1") as wrapped:
            session = wrapped.session
        assert is_heard(porch, authority, former)
        mutual.client_ca.write_bytes(authority.cert.read_bytes())
        renew(porch, mutual)
        with porch.connect() as plain, pytest.raises((ssl.SSLError, ConnectionError)):
            context.wrap_socket(plain, server_hostname="127.0.0.1", session=session)
        assert not is_heard(porch, authority, former)
        assert asked(porch, authority, present) == "hello"
        assert is_heard(porch, authority, present)


def test_replacing_the_files_is_enough(files: Tls, stranger: Authority) -> None:
    with serving(files) as porch:
        watched = Watched(files.paths, lambda: renew_here(porch, files))
        porch.background(watched.watch())
        old = der(files.cert)
        assert served(porch.port) == old
        put(stranger.issue("server"), files)
        end = time.monotonic() + 5
        while served(porch.port) == old:
            assert time.monotonic() < end
            time.sleep(0.05)
        assert served(porch.port) == der(files.cert)


def spoil_with_another_key(files: Tls, stranger: Authority) -> None:
    files.key.write_bytes(stranger.issue("other")[1].read_bytes())


def spoil_with_half_a_certificate(files: Tls, stranger: Authority) -> None:
    files.cert.write_bytes(files.cert.read_bytes()[:300])


def spoil_by_taking_the_key_away(files: Tls, stranger: Authority) -> None:
    files.key.unlink()


def spoil_with_nothing(files: Tls, stranger: Authority) -> None:
    files.cert.write_bytes(b"")


@pytest.mark.parametrize(
    "spoil",
    [
        spoil_with_another_key,
        spoil_with_half_a_certificate,
        spoil_by_taking_the_key_away,
        spoil_with_nothing,
    ],
)
def test_files_that_do_not_fit_change_nothing_until_they_do(
    files: Tls, authority: Authority, stranger: Authority, caplog: pytest.LogCaptureFixture, spoil: object
) -> None:
    assert callable(spoil)
    with serving(files) as porch:
        old = der(files.cert)
        spoil(files, stranger)
        renew(porch, files)
        for _ in range(3):
            assert served(porch.port) == served(porch.grpc_port, "h2") == old
        assert asked(porch, authority) == "hello"
        assert is_heard(porch, authority)
        told = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
        # Once each, not for each connection.
        assert len(told) == 2
        assert all(str(files.cert.parent) in line for line in told)
        put(stranger.issue("server"), files)
        renew(porch, files)
        assert served(porch.port) == served(porch.grpc_port, "h2") == der(files.cert) != old


@pytest.mark.parametrize(
    ("name", "what"), [("cert", "the certificate"), ("key", "key"), ("client_ca", "client CAs")]
)
@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot be read"), (b"", "is not PEM"), (b"\x30\x82\x01\x00\xff", "is not PEM")],
)
def test_a_file_that_is_missing_or_no_pem_is_named(
    files: Tls,
    authority: Authority,
    tmp_path: Path,
    name: str,
    what: str,
    content: bytes | None,
    message: str,
) -> None:
    path = tmp_path / "wrong"
    if content is not None:
        path.write_bytes(content)
    wrong = replace(files, client_ca=authority.cert)
    wrong = replace(wrong, **{name: path})
    for use in (ssl_context, grpc_credentials):
        with pytest.raises(ServiceError, match=message) as caught:
            use(wrong)
        assert what in caught.value.message
        assert caught.value.where == str(path)
        assert caught.value.remedy


@pytest.mark.parametrize("name", ["cert", "client_ca"])
def test_a_damaged_certificate_is_named(files: Tls, authority: Authority, tmp_path: Path, name: str) -> None:
    path = tmp_path / "wrong"
    path.write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    wrong = replace(replace(files, client_ca=authority.cert), **{name: path})
    with pytest.raises(ServiceError, match="cannot be read") as caught:
        ssl_context(wrong)
    assert caught.value.where == str(path)


def test_a_key_of_another_certificate_is_named(files: Tls, stranger: Authority) -> None:
    spoil_with_another_key(files, stranger)
    with pytest.raises(ServiceError, match="does not belong to the certificate") as caught:
        ssl_context(files)
    assert caught.value.where == str(files.key)
    assert str(files.cert) in caught.value.message


@pytest.mark.parametrize("form", ["pkcs8", "traditional"])
def test_a_key_with_a_password_is_an_error_and_not_a_question(files: Tls, form: str) -> None:
    command = [
        "openssl",
        "pkey" if form == "pkcs8" else "ec",
        "-in",
        files.key,
        "-aes128",
        "-passout",
        "pass:secret",
    ]
    files.key.write_bytes(subprocess.run(command, check=True, capture_output=True, timeout=30).stdout)
    with pytest.raises(ServiceError, match="has a password") as caught:
        ssl_context(files)
    assert caught.value.where == str(files.key)


@pytest.mark.parametrize(("days", "words"), [(-1, "has expired"), (3, "expires in"), (30, "")])
def test_the_end_of_a_certificate_is_told_before_clients_tell_it(
    files: Tls, authority: Authority, caplog: pytest.LogCaptureFixture, days: int, words: str
) -> None:
    put(authority.issue(f"server{days}", days), files)
    ssl_context(files)
    assert [words in record.getMessage() for record in caplog.records] == ([True] if words else [])
    assert abs(expires(files) - time.time() - days * 86400) < 120


def test_a_key_that_others_can_read_is_told_in_the_log(files: Tls, caplog: pytest.LogCaptureFixture) -> None:
    files.key.chmod(0o644)
    ssl_context(files)
    assert f"chmod 600 {files.key}" in caplog.text


class Watching:
    """Watches one file, and counts; the pace is a twentieth of a second."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.told = self._looks = 0
        self._watched = Watched([path], self._changed)
        look = certificates._signature

        def counted(paths: Sequence[Path]) -> object:
            self._looks += 1
            return look(paths)

        monkeypatch.setattr(certificates, "_signature", counted)

    def _changed(self) -> None:
        self.told += 1
        if self.told == 1:
            raise ValueError("the first time")

    def after(self, *steps: object) -> int:
        """How often it was told, when `steps` happened with a pause after each."""

        async def live() -> None:
            task = self.begin()
            for step in steps:
                assert callable(step)
                step()
                await self.looked()
            task.cancel()

        asyncio.run(live())
        return self.told

    def begin(self) -> asyncio.Task[None]:
        return asyncio.create_task(self._watched.watch())

    async def looked(self) -> None:
        """Wait for three looks: one sees the change, one that it rests, and one is to change nothing more."""
        end = self._looks + 3
        while self._looks < end:
            await asyncio.sleep(0.01)


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(certificates, "_POLL_SECONDS", 0.05)
    path = tmp_path / "watched"
    path.write_text("old")
    return path


def test_a_file_at_rest_is_not_told_of(watched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Watching(watched, monkeypatch).after(lambda: None, watched.read_text) == 0


def test_each_change_is_told_once_and_an_exception_does_not_end_the_watch(
    watched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = watched.with_suffix(".new")

    def swap() -> None:
        fresh.write_text("new")
        fresh.replace(watched)

    times = watched.stat()

    def rewrite_at_the_same_time() -> None:
        watched.write_text("NEW")
        os.utime(watched, ns=(times.st_atime_ns, times.st_mtime_ns))

    steps = (swap, rewrite_at_the_same_time, watched.unlink, swap, lambda: watched.chmod(0o600))
    assert Watching(watched, monkeypatch).after(*steps) == len(steps)


def test_a_file_that_is_being_written_is_not_told_of_until_it_is_done(
    watched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watching = Watching(watched, monkeypatch)

    async def live() -> None:
        task = watching.begin()
        for n in range(40):
            watched.write_text("x" * n)
            await asyncio.sleep(0.01)
        assert watching.told == 0
        await watching.looked()
        assert watching.told == 1
        task.cancel()

    asyncio.run(live())
