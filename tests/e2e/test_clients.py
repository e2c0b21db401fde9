"""Every protocol of the front door, asked by the clients that others wrote."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import cv2
import grpc
import numpy as np
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client import parser

from tests.e2e import page
from tests.e2e.harness import Place
from tests.e2e.test_deploy import current, golden
from toolkit.client import HttpClient, Unauthenticated, Unavailable, protocol

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

Deployed = tuple[Place, Any]


def expected(here: Place) -> Any:
    with HttpClient(here.http, timeout=30) as client:
        return client.predict("ocr", golden(here)).raw


def detector_input() -> np.ndarray[Any, Any]:
    page_of_text = np.full((64, 320, 3), 255, np.uint8)
    cv2.putText(page_of_text, "hello", (20, 45), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (0, 0, 0), 2)
    scaled = (page_of_text.astype(np.float32) / 255 - 0.45) / 0.22
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])


def columns(answer: Any) -> list[list[Any]]:
    return [[line[name] for line in answer["lines"]] for name in ("text", "score", "box")]


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_tritonclient_reads_a_page_and_runs_a_single_model(deployment: Deployed, kind: str) -> None:
    here, _ = deployment
    import tritonclient.grpc
    import tritonclient.http

    triton = {"http": tritonclient.http, "grpc": tritonclient.grpc}[kind]
    url = {"http": here.http.removeprefix("http://"), "grpc": here.grpc}[kind]
    with triton.InferenceServerClient(url) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("ocr")
        assert client.is_model_ready("ocr.rec")
        assert not client.is_model_ready("nope") if kind == "http" else True

        image = triton.InferInput("image", [1], "BYTES")
        image.set_data_from_numpy(np.array([golden(here).read_bytes()], dtype=np.object_))
        answer = client.infer("ocr", [image])
        texts, scores, boxes = columns(expected(here))
        assert [text.decode() for text in answer.as_numpy("text")] == texts
        np.testing.assert_allclose(answer.as_numpy("score"), scores, rtol=1e-6)
        np.testing.assert_allclose(answer.as_numpy("box"), boxes, rtol=1e-6)

        feed = detector_input()
        tensor = triton.InferInput("image", list(feed.shape), "FP32")
        tensor.set_data_from_numpy(feed)
        probability = client.infer("ocr.det", [tensor]).as_numpy("probability")
        assert probability.shape == (1, 1, 64, 320)
        assert 0.5 < float(probability.max()) <= 1


def test_curl_sends_a_file_as_json_as_a_form_and_as_the_body(deployment: Deployed, tmp_path: Path) -> None:
    here, _ = deployment
    if shutil.which("curl") is None:
        pytest.skip("no curl")
    image = golden(here)
    url = f"{here.http}/predict/ocr"

    def curl(*arguments: str) -> Any:
        done = subprocess.run(["curl", "-sS", *arguments, url], capture_output=True, check=True, timeout=60)
        return json.loads(done.stdout)

    answers = [
        curl("-F", f"image=@{image}"),
        curl("--data-binary", f"@{image}", "-H", "Content-Type: application/octet-stream"),
    ]
    assert answers == [expected(here)] * 2
    assert curl("-F", f"picture=@{image}")["error"]["code"] == 400


def test_what_speaks_reflection_finds_services_and_messages_and_asks_with_them(deployment: Deployed) -> None:
    here, _ = deployment
    questions = reflection_pb2.ServerReflectionRequest
    with grpc.insecure_channel(here.grpc) as channel:
        ask = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo
        (listed,) = ask(iter([questions(list_services="")]), timeout=10)
        names = {service.name for service in listed.list_services_response.service}
        assert names >= {protocol.SERVICE, "inference.GRPCInferenceService", "grpc.health.v1.Health"}
        for name in names:
            (told,) = ask(iter([questions(file_containing_symbol=name)]), timeout=10)
            files = map(
                descriptor_pb2.FileDescriptorProto.FromString,
                told.file_descriptor_response.file_descriptor_proto,
            )
            methods = [method.name for file in files for item in file.service for method in item.method]
            assert methods, name


def test_grpc_health_tells_of_the_server_and_of_each_service(deployment: Deployed) -> None:
    here, _ = deployment
    with grpc.insecure_channel(here.grpc) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for service in ("", protocol.SERVICE, "inference.GRPCInferenceService"):
            request = health_pb2.HealthCheckRequest(service=service)
            assert stub.Check(request, timeout=10).status == health_pb2.HealthCheckResponse.SERVING
            first = next(iter(stub.Watch(request, timeout=10)))
            assert first.status == health_pb2.HealthCheckResponse.SERVING


def test_prometheus_reads_the_metrics_and_they_count_what_was_asked(deployment: Deployed) -> None:
    here, _ = deployment

    def answered() -> float:
        with urllib.request.urlopen(f"{here.http}/metrics", timeout=10) as response:
            families = {
                item.name: item for item in parser.text_string_to_metric_families(response.read().decode())
            }
        assert sum(sample.value for sample in families["serving_ready"].samples) == 1
        models = {sample.labels["model"]: sample.labels for sample in families["serving_model_info"].samples}
        assert {"det", "rec"} <= set(models)
        assert all(models[name]["precision"] and models[name]["digest"] for name in ("det", "rec"))
        samples = families["serving_requests"].samples
        wanted = {"pipeline": "ocr", "protocol": "http", "code": "200"}
        return sum(sample.value for sample in samples if sample.labels == wanted)

    before = answered()
    expected(here)
    assert answered() == before + 1


def test_the_page_reads_an_image_in_a_browser(deployment: Deployed) -> None:
    here, _ = deployment
    why = page.missing()
    if why:
        pytest.skip(why)
    seen = page.check_page(f"{here.http}/", golden(here), page.artifacts())
    assert list(seen.lines) == [line["text"] for line in expected(here)["lines"]]
    assert len(seen.models) == 2


def test_the_api_as_it_is_described_answers_nothing_with_500(deployment: Deployed) -> None:
    here, _ = deployment
    argv = [sys.executable, "-m", "schemathesis.cli", "run", f"{here.http}/openapi.json"]
    argv += ["--checks", "not_a_server_error,content_type_conformance,status_code_conformance"]
    argv += ["--max-examples", "10", "--seed", "1", "--workers", "1", "--no-color", "--request-timeout", "30"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=600, check=False, cwd=here.directory)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


class Exploit:
    """What unpickles to a command (Serving#1907)."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return Path.touch, (self.target,)


STOCK = """
import sys
import numpy as np
from paddle_serving_server.pipeline.operator import RequestOp
from paddle_serving_server.pipeline.proto import pipeline_service_pb2
tensor = pipeline_service_pb2.Request.FromString(open(sys.argv[1], "rb").read())
RequestOp().unpack_request_package(tensor)
"""


def test_the_exploit_of_serving_1907_works_against_the_stock_request_op_and_not_here(
    deployment: Deployed, tmp_path: Path
) -> None:
    here, _ = deployment

    def malicious(target: Path) -> Any:
        data = io.BytesIO()
        np.save(data, np.array([Exploit(target)], dtype=object), allow_pickle=True)
        assert pickle.dumps(Exploit(target))
        tensor = protocol.Tensor(name="image", elem_type=13, shape=[1], byte_data=data.getvalue())
        return protocol.Request(name="ocr", tensors=[tensor])

    stock, ours = tmp_path / "stock", tmp_path / "ours"
    (tmp_path / "request").write_bytes(malicious(stock).SerializeToString())
    argv = [sys.executable, "-c", STOCK, str(tmp_path / "request")]
    subprocess.run(argv, capture_output=True, timeout=120, check=False, cwd=tmp_path)
    assert stock.exists(), "the stock op does not open it any more: this test proves nothing"

    with grpc.insecure_channel(here.grpc) as channel:
        ask = channel.unary_unary(
            protocol.PATH, protocol.Request.SerializeToString, protocol.Response.FromString
        )
        assert ask(malicious(ours), timeout=30).err_no == protocol.BAD_REQUEST
    tensors = {"name": "image", "elem_type": 13, "byte_data": "gASVCAAA"}
    body = json.dumps({"key": [], "value": [], "tensors": [tensors]}).encode()
    request = urllib.request.Request(f"{here.http}/ocr/prediction", body)
    with urllib.request.urlopen(request, timeout=30) as response:
        assert json.load(response)["err_no"] == protocol.BAD_REQUEST
    assert not ours.exists()
    assert current(here).pid


def test_a_service_with_keys_and_tls_is_deployed_verified_and_closed_to_others(
    deployment: Deployed, tmp_path: Path
) -> None:
    here, first = deployment
    if shutil.which("openssl") is None:
        pytest.skip("no openssl")
    keys, cert, key = tmp_path / "keys", tmp_path / "cert.pem", tmp_path / "key.pem"
    keys.write_text("ci: 0123456789abcdef0123\n")
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=ocr"]
    argv += ["-addext", "subjectAltName=DNS:ocr.example", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(argv, check=True, capture_output=True)
    guarded = ["--api-keys", str(keys), "--tls-cert", str(cert), "--tls-key", str(key)]
    try:
        done = here.deploy(*guarded)
        assert done.code == 0, done.stderr
        assert done.json["ran"] == ["launch ocr", "smoke ocr"]
        assert done.json["http"].startswith("https://")
        assert here.run("status").code == 0
        assert here.run("smoke", "--rounds", "1").code == 0
        client = HttpClient(f"https://127.0.0.1:{here.http_port}", ca=cert, server_name="ocr.example")
        with client, pytest.raises(Unauthenticated):
            client.predict("ocr", golden(here))
        with pytest.raises(Unavailable):
            HttpClient(here.http).predict("ocr", golden(here))
    finally:
        again = here.deploy()
        assert again.code == 0, again.stderr
    assert again.json["release"] == first["release"]
