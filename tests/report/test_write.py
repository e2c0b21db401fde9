from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Optional

import pytest

from tests.report import examples
from toolkit import templates
from toolkit.errors import TemplateError
from toolkit.report import candidates, outcomes
from toolkit.report import write as report

VOID = {"meta", "img", "br", "link", "input"}


class Page(HTMLParser):
    """What a reader sees, and what the page would load; tags have to close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.rows: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, Optional[str]]]) -> None:
        self.tags.append(tag)
        named = ("src", "href", "xlink:href", "srcset", "data", "action", "poster")
        self.links += [value or "" for name, value in attrs if name in named]
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag == "tr":
            self.rows.append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, Optional[str]]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)
            if "tr" in self.open:
                self.rows[-1] += data + " "

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def written(evaluation: dict[str, Any], folder: Path) -> Page:
    return Page(report.write(evaluation, folder).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    folder = tmp_path_factory.mktemp("report")
    return written(examples.passed(examples.picture(folder / "x.png")), folder / "report")


def test_the_page_closes_every_tag_that_it_opens(page: Page) -> None:
    assert page.open == []
    assert page.tags.count("main") == 1


def test_the_page_loads_nothing_from_outside(page: Page) -> None:
    assert page.links
    assert [link for link in page.links if not link.startswith(("#", "data:image/jpeg;base64,"))] == []
    style = (templates.TEMPLATES / "report" / "style.css").read_text()
    assert not re.search(r"url\(|@import", style)


def test_both_answers_of_a_sample_are_in_the_page_as_pictures(page: Page) -> None:
    assert len([link for link in page.links if link.startswith("data:image/jpeg")]) == 2


def test_every_candidate_has_a_row_with_its_figures(page: Page) -> None:
    for item in examples.passed()["models"]["det"]["candidates"]:
        assert len([row for row in page.rows if item["label"] in row and "hmean" not in row]) >= 1, item[
            "label"
        ]
    (row,) = [row for row in page.rows if examples.INT8 in row and "AVX2" not in row]
    for figure in (
        "served",
        "passed",
        "0.20",
        "−0.10 to 0.50",
        "0.8480",
        "82",
        "3 / 5",
        "41.0",
        "45.0",
        "5.60×",
    ):
        assert figure in row, figure
    for figure in ("1.30 MB", "400 MB", "INT8 86 %, FP32 14 %", "48 of 64 convolutions ran INT8"):
        assert figure in row, figure
    assert any("crashed: SIGSEGV" in row for row in page.rows)


def test_a_layer_has_its_scale_zero_point_error_time_and_kernel(page: Page) -> None:
    (row,) = [row for row in page.rows if "conv2d_0.in" in row]
    # The scale of a threshold of 12.7 is 12.7 / 127.
    for figure in ("INT8", "0.1", " 0 ", "0.125 %", "33.0", "30.0", "0.9987", "2.5", "0.50", "25.0 %"):
        assert figure in row, figure
    assert any("fallback: gives back 0.4 points" in row for row in page.rows)


def test_the_verdict_the_data_and_the_environment_are_told(page: Page) -> None:
    assert "ocr passes the gate with det in INT8" in page.text
    assert "70.8 % of 4,300 lines are right, 71.0 % in native FP32" in page.text
    for told in (
        "a.jpg and b.jpg are the same image",
        "82 samples",
        "AVX512_CORE_VNNI",
        "2.6.2",
        "a3f1",
        "6 min 42 s",
    ):
        assert told in page.text, told
    assert "inconclusive" not in page.text.split("What to look at")[0]


def test_the_plots_are_drawn_with_the_colours_of_the_page(page: Page) -> None:
    assert page.tags.count("svg") == 3  # accuracy against latency, layers, one histogram
    assert "points against native FP32" in page.text
    assert "output SQNR, dB" in page.text
    assert "dashed: threshold ±2" in page.text


def test_chinese_stays_chinese(tmp_path: Path) -> None:
    evaluation = examples.passed()
    evaluation["gallery"][0]["served"]["lines"][1]["text"] = "发票号玛"
    found = written(evaluation, tmp_path)
    assert "发票号 码" in found.text
    assert "发票号 玛" in found.text


ATTACK = (
    "<script>alert(1)</script><img src=x onerror=alert(2)>\"'><svg onload=alert(3)>`{{ 7 * 7 }}` $\\frac$"
)


def poisoned(value: Any, *keep: str) -> Any:
    """`value` with every text replaced, keys among them where they are names."""
    if isinstance(value, str):
        return ATTACK
    if isinstance(value, dict):
        named = {"det", "conv2d_0.in", "AVX2", "paddlepaddle", "export/det", "calibrate"}
        return {
            (ATTACK if key in named else key): item if key in keep else poisoned(item, *keep)
            for key, item in value.items()
        }
    return [poisoned(item, *keep) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("kept", [(), ("precision", "outcome", "dtype", "chosen", "label")])
@pytest.mark.parametrize("made", [examples.passed, examples.failed])
def test_no_text_of_the_evaluation_becomes_a_tag(made: Any, kept: tuple[str, ...], tmp_path: Path) -> None:
    clean, found = written(made(), tmp_path / "a"), written(poisoned(made(), *kept), tmp_path / "b")
    assert found.tags.count("script") == clean.tags.count("script") == 1
    assert found.tags.count("img") == 0
    assert "alert(1)" in found.text
    assert "49" not in found.text.split("What to")[0]
    assert found.open == []


def test_a_failed_gate_says_which_layers_why_and_what_to_do(tmp_path: Path) -> None:
    found = written(examples.failed(), tmp_path)
    assert "ocr does not pass the gate: det loses 3.2 points in INT8, must be under 0.5." in found.text
    told = found.text[found.text.index("What to do", found.text.index("Terms")) :]
    for fact in (
        "validation goes beyond the calibrated range of 2 activations",
        "relu_7: up to 19.2, calibrated up to 6 (3.2 times), read by conv2d_1",
        "only 38 % of its multiply-accumulates ran in INT8, 50 % are asked for",
        "conv2d_1 gives back 0.40 points",
        "int8 kl: crashed: SIGSEGV",
        "bf16: −0.10 points lost, 4.80 times as fast as native FP32",
    ):
        assert fact in told, fact
    assert any("revert" in row and "2.80" in row for row in found.rows)


def test_a_failed_gate_shows_whole_answers_as_they_would_be_and_says_so(tmp_path: Path) -> None:
    evaluation = examples.failed()
    del evaluation["models"]["det"]["candidates"][1]  # PRECISION=int8 leaves nothing else
    found = written(evaluation, tmp_path)
    tiles = found.text[: found.text.index("Terms")]
    assert (
        "recall 67.6 % native FP32 71.0 %; hypothetical: as it would be with the best INT8 candidate" in tiles
    )
    assert "det: points lost 3.20 INT8, not served" in tiles
    assert (
        "beside what was rejected (hypothetical: as it would be with the best INT8 candidate)" in found.text
    )
    assert any("rejected" in row and "native FP32" in row for row in found.rows)
    assert not any("served" in row for row in found.rows)
    assert "det failed" in found.text


def test_how_far_answers_differ_from_native_fp32_is_told_where_it_was_measured(tmp_path: Path) -> None:
    told = "answers that differ from native FP32's 0.21 % text of 82 samples, at most 0.43 % with 95 % confidence"
    assert told in written(examples.passed(), tmp_path / "measured").text
    evaluation = examples.passed()
    evaluation["end_to_end"]["agreement"] = None
    assert "answers that differ" not in written(evaluation, tmp_path / "not").text


def test_where_whole_answers_fail_what_each_model_would_take_is_not_called_served(tmp_path: Path) -> None:
    evaluation = examples.failed()
    evaluation["models"]["det"] = examples.model()
    found = written(evaluation, tmp_path)
    assert "hypothetical: as it would be with the best INT8 candidate" in found.text
    (row,) = [row for row in found.rows if examples.INT8 in row and "AVX2" not in row]
    assert "chosen" in row
    assert "served" not in row
    assert "3 chosen" in found.text  # its mark in the plot


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([("bf16", {"value": 0.8, "drop": 5.0})], "with the best bf16 candidate"),
        ([("bf16", {"value": 0.8}), ("int8", {"value": 0.7})], "with the best candidate"),
        (
            [("int8", {"outcome": "fail", "reason": "crashed: SIGSEGV"})],
            "in native FP32, since no candidate ran",
        ),
        ([], "in native FP32, since no candidate ran"),
    ],
)
def test_what_the_whole_was_supposed_to_run_with_is_named(rows: list[Any], told: str) -> None:
    evaluation = examples.failed()
    native = evaluation["models"]["det"]["candidates"][0]
    others = [examples.candidate(precision, precision, verdict=verdict) for precision, verdict in rows]
    evaluation["models"]["det"]["candidates"] = [native, *others]
    assert outcomes.supposed(evaluation) == f"as it would be {told}"


def test_whole_answers_of_what_is_served_are_no_hypothesis(page: Page) -> None:
    assert "hypothetical" not in page.text
    assert "beside what is served." in page.text


def test_a_model_that_is_not_served_though_the_gate_passed_is_told_so(tmp_path: Path) -> None:
    evaluation = examples.passed()
    evaluation["models"]["rec"] = {**examples.model(), "chosen": None, "serving": None}
    found = written(evaluation, tmp_path)
    assert "ocr passes the gate with det in INT8 and rec not served: " in found.text
    assert "rec: points lost 0.20 INT8, not served" in found.text
    assert "rec not served" in found.text[found.text.index("What to look at") :]


def test_a_candidate_that_did_not_run_has_its_problem_and_no_times(tmp_path: Path) -> None:
    evaluation = examples.passed()
    lost = {"outcome": "fail", "needed": None, "reason": "crashed: SIGILL"}
    evaluation["models"]["det"]["candidates"][1].update(
        milliseconds=None, ratio=None, verdict=lost, problem="crashed: SIGILL"
    )
    found = written(evaluation, tmp_path)
    (row,) = [row for row in found.rows if " bf16 " in row and "SIGILL" in row]
    assert "did not run" in row
    assert "×" not in row
    assert found.text.count("crashed: SIGILL") == 1


def test_times_are_those_of_one_inference(page: Page) -> None:
    assert "ms for an inference (median)" in page.text
    titles = {item.title: item.hint for item in candidates.table(examples.model()).columns}
    assert titles["Time, ms"].startswith("One inference")
    assert "sample," not in titles["Time, ms"]


def test_other_cpus_say_what_is_kept_how_fast_it_is_and_what_is_not(page: Page) -> None:
    (row,) = [row for row in page.rows if "AVX2" in row]
    for figure in ("AVX2 fp32", f"not kept: {examples.INT8}: loses 5.0 points", "passed", "3.48×", "66.0"):
        assert figure in row, figure
    assert "served" not in row


def test_native_fp32_that_is_kept_on_another_cpu_is_the_reference(tmp_path: Path) -> None:
    evaluation = examples.passed()
    tried = [{"label": "fp32", "ratio": 0.9, "reason": "is no faster than native FP32"}]
    evaluation["models"]["det"]["levels"] = {"SSE41": examples.level("native", tried, kept=False)}
    found = written(evaluation, tmp_path)
    (row,) = [row for row in found.rows if "SSE41" in row]
    assert "reference" in row
    assert "not kept: fp32: is no faster than native FP32" in row
    assert "not known" not in row


def without_each_field(evaluation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The evaluation without each of its fields in turn; also those of the model."""
    for holder in (evaluation, evaluation["models"]["det"]):
        for key in list(holder):
            kept = holder.pop(key)
            yield evaluation
            holder[key] = kept


def emptied(value: Any) -> Any:
    """`value` with null for every text, number and list of them."""
    if isinstance(value, dict):
        return {key: emptied(item) for key, item in value.items()}
    nested = isinstance(value, list) and any(isinstance(item, dict) for item in value)
    return [emptied(item) for item in value] if nested else None


def test_a_report_is_written_whatever_is_missing(tmp_path: Path) -> None:
    for evaluation in without_each_field(examples.failed()):
        assert written(evaluation, tmp_path).open == []


@pytest.mark.parametrize("made", [examples.passed, examples.failed, examples.inconclusive])
def test_a_report_is_written_though_every_figure_is_null(made: Any, tmp_path: Path) -> None:
    assert "has not been judged" in written(emptied(made()), tmp_path).text


def test_a_report_of_nothing_says_so(tmp_path: Path) -> None:
    assert "has not been judged" in written({}, tmp_path).text


def test_an_inconclusive_verdict_is_marked_wherever_it_is_shown(tmp_path: Path) -> None:
    found = written(examples.inconclusive(), tmp_path)
    head, rest = found.text.split("What to look at", 1)
    assert "ocr is accepted as inconclusive, with det in INT8 (inconclusive)" in head
    assert "det: points lost 0.31 INT8, inconclusive" in head
    assert "About 240 samples would decide" in rest
    (row,) = [row for row in found.rows if examples.INT8 in row and "AVX2" not in row]
    assert "served, inconclusive" in row
    assert "about 240 samples would decide" in row
    assert "3? served" in rest  # its mark in the plot
    assert "det inconclusive" in rest
    assert json.loads((tmp_path / "report.json").read_text())["report"]["outcome"] == "inconclusive"


def test_the_json_is_the_evaluation_with_the_verdict_and_the_advice(tmp_path: Path) -> None:
    report.write(examples.failed(), tmp_path)
    found = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    told = found.pop("report")
    assert found == examples.failed()
    assert told["outcome"] == "fail"
    assert told["sentence"] == "ocr does not pass the gate: det loses 3.2 points in INT8, must be under 0.5."
    assert told["advice"][0]["title"].startswith("det: validation goes beyond")
    assert told["advice"][0]["facts"][0].startswith("relu_7")


def test_what_is_no_number_is_null_in_json_and_a_dash_on_the_page(tmp_path: Path) -> None:
    evaluation = examples.passed()
    evaluation["models"]["det"]["candidates"][2]["p99"] = float("nan")
    evaluation["models"]["det"]["layers"][0]["output_sqnr_db"] = float("inf")
    found = written(evaluation, tmp_path)
    data = json.loads((tmp_path / "report.json").read_text(), parse_constant=pytest.fail)
    assert data["models"]["det"]["candidates"][2]["p99"] is None
    assert data["models"]["det"]["layers"][0]["output_sqnr_db"] is None
    assert "nan" not in " ".join(found.rows)


def test_a_report_that_cannot_be_made_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report.write(examples.passed(), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def broken(*_: Any, **__: Any) -> str:
        raise TemplateError("the template is malformed")

    monkeypatch.setattr(templates, "render", broken)
    with pytest.raises(TemplateError):
        report.write(examples.failed(), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_full_disk_leaves_the_report_before_and_no_scrap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report.write(examples.passed(), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(before) == {"index.html", "report.json"}
    write_text = Path.write_text

    def full(self: Path, data: str, **options: Any) -> int:
        write_text(self, data[:100], **options)
        if "report.json" in self.name:
            raise OSError(28, "No space left on device")
        return 100

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        report.write(examples.failed(), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_same_evaluation_gives_the_same_page(tmp_path: Path) -> None:
    pages = [report.write(examples.passed(), tmp_path / name).read_bytes() for name in "ab"]
    assert pages[0] == pages[1]
