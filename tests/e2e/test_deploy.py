"""The whole way, for real: from the packages' models to a running service, asked over every protocol."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.contract import check_replica
from tests.e2e.harness import BUDGET, ROOT, Place, free_port, listening
from tests.processes import processes_of
from toolkit import cpu
from toolkit.client import BadRequest, GrpcClient, HttpClient
from toolkit.data import labels
from toolkit.evaluation.metrics import normalise
from toolkit.supervisor import state as states

VNNI = bool({"AVX2_VNNI", "AVX512_CORE_VNNI"} & set(cpu.levels()))

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

Deployed = tuple[Place, Any]


def current(here: Place) -> states.State:
    found = states.running(here.home)
    assert found is not None
    return found


def golden(here: Place) -> Path:
    return sorted((Path(current(here).release) / "golden").glob("00.*"))[0]


def replica_of(here: Place) -> psutil.Process:
    return replicas_of(here)[0]


def replicas_of(here: Place) -> list[psutil.Process]:
    return [item for item in processes_of(here.directory) if "toolkit.serving.replica" in item.cmdline()]


def wait_for_another_replica(here: Place, before: psutil.Process) -> None:
    """The service may say for a moment that it is ready, before it has noticed the end of the one that it had."""
    deadline = time.monotonic() + 60
    while not {item.pid for item in replicas_of(here)} - {before.pid}:
        assert time.monotonic() < deadline, here.run("logs").stdout
        time.sleep(0.2)


def wait_until_ready(here: Place, seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    with HttpClient(here.http, timeout=2) as client:
        while not client.ready():
            assert time.monotonic() < deadline, here.run("logs").stdout
            time.sleep(0.2)


def test_every_model_is_judged_in_float_and_searched_in_int8_with_proof_of_its_kernels(
    deployment: Deployed,
) -> None:
    models = deployment[1]["evaluation"]["models"]
    assert set(models) == {"det", "rec"}
    for name, entry in models.items():
        rows = {row["label"]: row for row in entry["candidates"]}
        assert rows["fp32"]["verdict"]["outcome"] != "fail"
        assert rows["fp32"]["ratio"] > 1.5, "oneDNN is several times faster than the native reference"
        assert rows["native"]["ratio"] == 1
        assert len(rows) == len(entry["candidates"]), "no two candidates have one label"
        tried = [row for row in entry["candidates"] if row["precision"] == "int8"]
        assert len({row["recipe"]["algorithm"] for row in tried}) == 5, "every algorithm takes part"
        proven = [row for row in tried if row["share"]]
        assert proven, f"no INT8 candidate of {name} lost little enough in the search"
        for row in proven:
            assert re.match(r"\d+ of \d+ convolutions ran INT8", row["kernels"])
            # 0.78 was seen without VNNI.
            assert row["share"]["int8"] >= (0.8 if VNNI else 0.7)
            assert row["recipe"]["exclude"] or row["bytes"] < 0.4 * rows["native"]["bytes"]


def test_what_is_served_lost_less_than_the_gate_allows(deployment: Deployed) -> None:
    evaluation = deployment[1]["evaluation"]
    for entry in evaluation["models"].values():
        served = next(row for row in entry["candidates"] if row["label"] == entry["chosen"])
        if served["label"] != "native":
            assert served["verdict"]["drop"] < evaluation["gate"]["max_drop"]


def test_each_lesser_cpu_has_a_verdict_of_its_own(deployment: Deployed) -> None:
    wanted = set(cpu.levels_below()) & {"AVX2", "AVX512_CORE", "AVX512_CORE_VNNI"}
    for entry in deployment[1]["evaluation"]["models"].values():
        assert set(entry["levels"]) == wanted
        for found in entry["levels"].values():
            assert found["tried"]
            assert found["serving"]["precision"] != "bf16", "without its instructions it crawls"
            assert found["label"] == "native" or found["ratio"] > 1


def test_the_report_opens_from_disk_and_tells_what_is_served(deployment: Deployed) -> None:
    here, told = deployment
    page = Path(told["report"])
    assert page == here.home / "report" / "index.html"
    report = json.loads(page.with_name("report.json").read_text())
    for name, entry in told["evaluation"]["models"].items():
        assert report["models"][name]["chosen"] == entry["chosen"]
        assert report["models"][name]["layers"] or entry["serving"]["recipe"] is None
    assert not re.search(r"""(?:src|href)=["']https?:""", page.read_text())


def test_the_result_says_how_sure_the_verdict_is(deployment: Deployed) -> None:
    here, told = deployment
    result = json.loads((here.home / "result.json").read_text())
    assert (result["command"], result["exit_code"], result["verdict"]["passed"]) == ("deploy", 0, True)
    for name, entry in told["evaluation"]["models"].items():
        assert result["verdict"]["models"][name]["served"] == entry["chosen"]


def test_the_service_reads_most_of_a_page_that_it_has_never_seen(deployment: Deployed) -> None:
    here, _ = deployment
    samples = labels.read(here.data / "validation.txt")
    wanted = [normalise(line.text) for sample in samples for line in sample.lines]
    with HttpClient(here.http, timeout=30) as client:
        answers = [client.predict("ocr", sample.image) for sample in samples]
    read = {normalise(line.text) for answer in answers for line in answer.lines}
    assert sum(text in read for text in wanted) > 0.6 * len(wanted)


def test_grpc_and_http_give_the_same_answer(deployment: Deployed) -> None:
    here, _ = deployment
    image = golden(here)
    with HttpClient(here.http, timeout=30) as http, GrpcClient(here.grpc, timeout=30) as rpc:
        assert http.predict("ocr", image).raw == rpc.predict("ocr", image).raw


def test_the_real_replica_keeps_the_contract_of_the_fake(deployment: Deployed) -> None:
    socket = next(Path(current(deployment[0]).run_dir).glob("replica-0/*.sock"))
    check_replica(f"unix:{socket}", timeout=30)


def test_the_stock_pipeline_client_works_unchanged(deployment: Deployed) -> None:
    here, _ = deployment
    script = """
import base64, json, sys
from paddle_serving_server.pipeline import PipelineClient
client = PipelineClient()
client.connect([sys.argv[1]])
image = base64.b64encode(open(sys.argv[2], "rb").read()).decode()
for tensors in (False, True):
    answer = client.predict(feed_dict={"image": image}, fetch=["result"], pack_tensor_format=tensors)
    print("ANSWER " + json.dumps([answer.err_no, list(answer.key), json.loads(answer.value[0])]))
"""
    argv = [sys.executable, "-c", script, here.grpc, str(golden(here))]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, cwd=here.directory, check=False)
    assert done.returncode == 0, done.stderr
    answers = [json.loads(row[7:]) for row in done.stdout.splitlines() if row.startswith("ANSWER ")]
    with HttpClient(here.http, timeout=30) as client:
        expected = [0, ["result"], client.predict("ocr", golden(here)).raw]
    assert answers == [expected, expected]


def test_a_second_deploy_runs_no_stage_and_ends_within_5_seconds(deployment: Deployed) -> None:
    here, _ = deployment
    before = current(here).pid
    started = time.monotonic()
    again = here.deploy()
    seconds = time.monotonic() - started
    assert again.code == 0, again.stderr
    assert (again.json["ran"], again.json["pid"]) == ([], before)
    assert seconds < 5


def test_a_changed_gate_judges_anew_what_was_measured_before(
    deployment: Deployed,
) -> None:
    from toolkit import spec
    from toolkit.console import Console
    from toolkit.stages import evaluate
    from toolkit.stages.context import Context

    here, _ = deployment
    plan = spec.load(ROOT / "pipelines", "ocr")
    looser = plan.model_copy(update={"gate": plan.gate.model_copy(update={"max_drop": 0.4999, "levels": ()})})
    console = Console(quiet=True)
    evaluate.run(Context(looser, here.build, here.data, None, console, float(BUDGET)))
    assert "evaluate ocr" in console.ran
    # The search for layers may go on a little where its budget ended it; nothing is done twice.
    stages = ("export", "optimize", "calibrate")
    assert not [item for item in console.ran if item.split()[0] in stages or "native" in item]


def test_a_service_that_was_never_verified_is_verified_by_the_next_deploy(deployment: Deployed) -> None:
    here, _ = deployment
    before = current(here).pid
    proof = here.home / "smoke.json"
    told = json.loads(proof.read_text())
    proof.write_text(json.dumps({**told, "smoke": None}))
    again = here.deploy()
    assert again.code == 0, again.stderr
    assert again.json["pid"] == before
    assert again.json["smoke"]["goldens"]


def test_a_new_release_that_answers_wrongly_is_taken_back(deployment: Deployed) -> None:
    import shutil

    from toolkit.errors import SmokeError
    from toolkit.supervisor.switch import switch

    here, _ = deployment
    before = current(here)
    other = here.directory / "other"
    shutil.copytree(before.release, other)

    def refuse(state: states.State) -> None:
        assert state.release == str(other)
        raise SmokeError("it says something else")

    with pytest.raises(SmokeError, match="the release before serves again"):
        switch(here.home, replace(current(here).target, release=str(other)), verify=refuse)
    wait_until_ready(here)
    assert current(here).release == before.release


def test_the_service_can_be_opened_to_all_addresses_while_it_runs(deployment: Deployed) -> None:
    here, _ = deployment
    done = here.deploy("--host", "0.0.0.0")
    assert done.code == 0, done.stderr
    assert current(here).host == "0.0.0.0"
    assert here.deploy().code == 0
    assert current(here).host == "127.0.0.1"


def test_smoke_passes_and_prints_latencies(deployment: Deployed) -> None:
    done = deployment[0].run("smoke", "--rounds", "1")
    assert done.code == 0, done.stderr
    assert re.search(r"HTTP \d+ ms .*gRPC \d+ ms", done.stdout)


def test_launching_twice_is_refused(deployment: Deployed) -> None:
    here, _ = deployment
    done = here.run("launch", "--data", str(here.data), "--budget", f"{BUDGET}s", *here.ports)
    assert done.code == 8
    assert f"running already: process {current(here).pid}" in done.stderr


def test_status_and_logs_tell_of_the_running_service(deployment: Deployed) -> None:
    here, _ = deployment
    status = here.run("status")
    assert status.code == 0
    assert here.http in status.stdout
    assert str(current(here).pid) in status.stdout
    assert "replica.log" in here.run("logs").stdout


def test_a_killed_replica_is_replaced_and_no_request_fails_meanwhile(deployment: Deployed) -> None:
    here, _ = deployment
    replica = replica_of(here)
    replica.kill()
    body = json.dumps({"image": base64.b64encode(golden(here).read_bytes()).decode()}).encode()
    code, _ = post(f"{here.http}/predict/ocr", body)
    assert code == 200
    wait_for_another_replica(here, replica)
    wait_until_ready(here)
    assert here.run("smoke", "--rounds", "1").code == 0


def test_a_taken_port_leaves_what_runs_alone(deployment: Deployed) -> None:
    here, first = deployment
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ports = ["--http-port", port, "--grpc-port", str(free_port())]
        done = here.run("deploy", "--data", str(here.data), "--budget", f"{BUDGET}s", *ports)
    assert done.code == 8
    assert port in done.stderr
    wait_until_ready(here)
    with HttpClient(here.http, timeout=30) as client:
        assert client.predict("ocr", golden(here)).lines
    assert first["release"] == current(here).release


def test_a_release_that_cannot_start_shows_the_end_of_its_log_and_what_ran_serves_on(
    deployment: Deployed,
) -> None:
    import shutil

    from toolkit.errors import ServiceError
    from toolkit.supervisor.switch import switch

    here, _ = deployment
    broken = here.directory / "broken"
    shutil.copytree(current(here).release, broken)
    # It would be found out by its manifest before anything starts.
    (broken / "manifest.json").unlink()
    weights = broken / "models" / "det" / "serving_server" / "model.pdiparams"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(
        ServiceError, match=r"(?s)ended with exit code.*model.*nothing has changed: .* serves on"
    ):
        switch(here.home, replace(current(here).target, release=str(broken)), verify=lambda _: None)
    wait_until_ready(here)
    with GrpcClient(here.grpc, timeout=30) as client, pytest.raises(BadRequest):
        client.predict("ocr", b"not an image")


def test_a_killed_service_leaves_no_orphan_and_can_be_started_again(deployment: Deployed) -> None:
    here, _ = deployment
    os.kill(current(here).pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while processes_of(here.directory) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not processes_of(here.directory)
    assert here.run("status").code == 1
    assert here.run("launch").code == 0
    wait_until_ready(here)


def test_stop_leaves_no_process_and_no_port_and_may_be_said_twice(deployment: Deployed) -> None:
    here, _ = deployment
    assert here.run("stop").code == 0
    assert not processes_of(here.directory)
    assert not listening(here.http_port)
    assert not listening(here.grpc_port)
    again = here.run("stop")
    assert (again.code, "was not running" in again.stdout) == (0, True)


def post(url: str, body: bytes) -> tuple[int, Any]:
    import urllib.error
    import urllib.request

    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
