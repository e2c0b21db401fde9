"""What takes many minutes: the pipeline's own data, other steps, and deployments that are killed on the way."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import ROOT, Place, place, processes_of
from toolkit import spec
from toolkit.client import HttpClient
from toolkit.console import Console
from toolkit.evaluation import gate
from toolkit.stages import dataset, evaluate
from toolkit.stages.context import Context
from toolkit.stages.variants import variants_of

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
def here() -> Iterator[Place]:
    with place() as made:
        yield made


def test_on_its_own_pages_native_reads_80_to_95_percent_and_the_default_op_set_is_rejected(
    here: Place,
) -> None:
    plan = spec.load(ROOT / "pipelines", "ocr")
    detector = plan.models["det"]
    careless = detector.model_copy(
        update={"quantize": detector.quantize.model_copy(update={"kernels": ONEDNN_DEFAULT})}
    )
    plan = plan.model_copy(update={"models": {**plan.models, "det": careless}})
    context = Context(plan, here.build, None, None, Console(quiet=True))
    data = dataset.run(context)
    variants = {name: variants_of(context, name) for name in plan.steps}
    native, int8 = variants["det"][:2]
    verdict = gate.judge(*(evaluate.candidate(context, data, item) for item in (native, int8)), "hmean", 0.5)
    assert not verdict.passed, verdict
    read = evaluate.whole(context, data, {name: group[0] for name, group in variants.items()})
    assert 0.80 <= read.recall <= 0.95


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


def test_a_deployment_killed_at_any_moment_leaves_nothing_that_the_next_one_trusts_wrongly(
    here: Place,
) -> None:
    generator = random.Random(1)
    argv = here.argv("deploy", "--json", "--data", str(here.data), "--precision", "fp32", *here.ports)
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGKILL):
        running = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(generator.uniform(1, 25))
        os.kill(running.pid, number)
        running.wait(timeout=30)
        wait_for_none_but_the_service(here)
    done = here.deploy("--precision", "fp32")
    assert done.code == 0, done.stderr
    assert here.run("smoke").code == 0
    assert not list((here.build / "store" / "partial").iterdir())


def wait_for_none_but_the_service(here: Place) -> None:
    deadline = time.monotonic() + 20
    while any("toolkit.child" in item.cmdline() for item in processes_of(here.directory)):
        assert time.monotonic() < deadline, "a child outlived the command that started it"
        time.sleep(0.2)
