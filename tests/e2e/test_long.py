"""What takes many minutes: the pipeline's own data, other steps, and deployments that are killed on the way."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.e2e.harness import ROOT, Place, place
from toolkit import cpu, spec
from toolkit.client import HttpClient
from toolkit.console import Console
from toolkit.data.dataset import VALIDATION
from toolkit.evaluation import gate
from toolkit.evaluation.gate import Candidate, Policy
from toolkit.evaluation.metrics import total
from toolkit.evaluation.ratios import METRICS
from toolkit.quantization.recipe import Recipe
from toolkit.stages import dataset, measure, variants
from toolkit.stages.context import Context

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(1500)]

# What oneDNN quantizes when it is not told what to (Paddle 2.6, cpu_quantize_placement_pass).
ONEDNN_DEFAULT = (
    "concat",
    "conv2d",
    "depthwise_conv2d",
    "fused_conv2d",
    "fused_matmul",
    "elementwise_add",
    "elementwise_mul",
    "elementwise_sub",
    "fc",
    "matmul",
    "nearest_interp",
    "nearest_interp_v2",
    "pool2d",
    "prior_box",
    "reshape2",
    "transpose2",
    "fusion_gru",
    "fusion_lstm",
    "multi_gru",
    "slice",
    "split",
    "shape",
)


@pytest.fixture
def here(prepared: Place) -> Iterator[Place]:
    with place(like=prepared) as made:
        yield made


@pytest.fixture
def empty() -> Iterator[Place]:
    with place() as made:
        yield made


@pytest.mark.skipif(not cpu.has_avx512(), reason="the native reference takes a second an inference here")
def test_on_its_own_pages_native_reads_80_to_95_percent_and_the_default_op_set_is_rejected(
    here: Place,
) -> None:
    context = Context(spec.load(ROOT / "pipelines", "ocr"), here.build, None, None, Console(quiet=True))
    data = dataset.run(context)
    native = {name: variants.native(context, name) for name in context.spec.steps}
    # All layers by PaddleOCR's own recipe, and oneDNN left to choose: what a user gets who quantizes and hopes.
    int8 = variants.int8(context, "det", Recipe("minmax", kinds=("conv2d", "depthwise_conv2d")))
    careless = replace(int8, options=replace(int8.options, op_set=ONEDNN_DEFAULT))
    reference, measured = (
        measure.run_model(context, data, item, VALIDATION) for item in (native["det"], careless)
    )
    before = measure.counts_of(reference)
    assert before
    # Either it loses far more than the limit, or Paddle refuses to run what nobody calibrated.
    candidate = Candidate("careless", "int8", measure.counts_of(measured), 1.0, measure.problem_of(measured))
    verdict = gate.judge(before, candidate, METRICS["hmean"], Policy())
    assert verdict.status == "fail", verdict
    read = measure.counts_of(measure.run_pipeline(context, data, native))
    assert read
    assert 0.80 <= total(read).recall <= 0.95


def test_with_the_classifier_a_page_on_its_head_is_read(here: Place) -> None:
    import cv2

    pipelines = here.directory / "pipelines"
    shutil.copytree(ROOT / "pipelines" / "ocr", pipelines / "ocr")
    file = pipelines / "ocr" / "pipeline.yml"
    file.write_text(file.read_text().replace("steps: [det, rec]", "steps: [det, cls, rec]"))
    done = here.deploy("--precision", "fp32", "--pipelines", str(pipelines))
    assert done.code == 0, done.stderr
    assert set(done.json["evaluation"]["models"]) == {"det", "cls", "rec"}
    upright = sorted((Path(done.json["release"]) / "golden").glob("00.*"))[0]
    turned = here.directory / "turned.png"
    cv2.imwrite(str(turned), cv2.rotate(cv2.imread(str(upright)), cv2.ROTATE_180))
    with HttpClient(here.http, timeout=60) as client:
        wanted = {line.text for line in client.predict("ocr", upright).lines}
        found = {line.text for line in client.predict("ocr", turned).lines}
    assert len(wanted & found) > 0.5 * len(wanted)


def test_int8_that_was_calibrated_with_white_pages_is_refused_and_what_ran_goes_on(here: Place) -> None:
    assert here.deploy("--precision", "fp32").code == 0
    with HttpClient(here.http, timeout=60) as client:
        page = sorted((here.data / "images").glob("validation*"))[0]
        before = client.predict("ocr", page).raw
    whiten(here)
    done = here.deploy("--precision", "int8", "--budget", "2m")
    assert done.code == 4, done.stderr
    assert "int8 was asked for, but" in done.stderr
    result = json.loads((here.home / "result.json").read_text())
    assert (result["exit_code"], result["verdict"]["passed"]) == (4, False)
    report = json.loads((here.home / "report" / "report.json").read_text())
    failed = [entry for entry in report["models"].values() if entry["chosen"] is None]
    assert failed
    assert all("int8 was asked for" in entry["sentence"] and entry["serving"] is None for entry in failed)
    worst = report["models"]["det"]["exceeded"][0]
    assert worst["validation"] > 2 * worst["calibrated"], "which layers saw more than calibration did"
    assert worst["layers"]
    with HttpClient(here.http, timeout=60) as client:
        assert client.predict("ocr", page).raw == before


def whiten(here: Place) -> None:
    """Make every calibration page white, each of another size, so that no two are alike."""
    from PIL import Image

    for number, line in enumerate((here.data / "calibration.txt").read_text().splitlines()):
        path = here.data / line.partition("\t")[0]
        with Image.open(path) as picture:
            size = (picture.width + number, picture.height)
        Image.new("RGB", size, "white").save(path)


def test_a_deployment_killed_at_any_moment_leaves_nothing_that_the_next_one_trusts_wrongly(
    empty: Place,
) -> None:
    here = empty
    generator = random.Random(1)
    argv = here.argv("deploy", "--json", "--data", str(here.data), "--precision", "fp32", *here.ports)
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGKILL):
        running = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(generator.uniform(1, 25))
        at_work = children_at_work(running.pid)
        os.kill(running.pid, number)
        running.wait(timeout=30)
        wait_until_gone(at_work)
    done = here.deploy("--precision", "fp32")
    assert done.code == 0, done.stderr
    assert here.run("smoke").code == 0
    assert not list((here.build / "store" / "partial").iterdir())


def children_at_work(pid: int) -> list[psutil.Process]:
    """The fork server of a command, and what it has forked; not the service."""
    children = psutil.Process(pid).children(recursive=True)
    return [item for item in children if "toolkit.forkserver" in item.cmdline()]


def wait_until_gone(children: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive, "a child outlived the command that started it"
