from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from fastapi import FastAPI
from PIL import Image

from tests.e2e.page import Browser, artifacts, browser, check_page, missing
from tests.gateway.demo import LINES, FakeDesk, app, served
from toolkit.content.kinds import Kind
from toolkit.gateway.catalog import Catalog
from toolkit.gateway.faults import BadRequest, NotReady

pytestmark = [
    pytest.mark.skipif(bool(missing()), reason=missing() or "there is a browser"),
    pytest.mark.timeout(180),
]

RED, WHITE = (220, 30, 30), (255, 255, 255)


def image(path: Path, size: tuple[int, int] = (120, 80), rotation: int = 1) -> Path:
    """White, with red where the first line's box is once it is upright; stored as `rotation`, of EXIF, says."""
    picture = Image.new("RGB", size, WHITE)
    picture.paste(RED, (10, 10, 70, 30))
    # 6: whoever shows it must turn it by 90 degrees clockwise.
    stored = picture.transpose(Image.Transpose.ROTATE_90) if rotation == 6 else picture
    exif = Image.Exif()
    exif[0x0112] = rotation
    stored.save(path, quality=95, exif=exif)
    return path


@pytest.fixture
def desk() -> FakeDesk:
    return FakeDesk()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as running:
        running.size(1200, 800)
        yield running


@pytest.fixture
def page(desk: FakeDesk, chromium: Browser) -> Iterator[Browser]:
    """The page, opened; afterwards it must have asked nobody else and made the browser complain of nothing."""
    with served(app(desk)) as url:
        chromium.forget()
        chromium.open(url)
        chromium.until(lambda: chromium.all("#serving .model"), "the models are not shown")
        yield chromium
        chromium.check(url, allowed="Failed to load resource")


def send(page: Browser, path: Path, state: str = "done") -> None:
    page.send_image(path)
    page.until_state(state)


def texts(page: Browser, selector: str) -> list[str]:
    return [element.text for element in page.all(selector)]


def test_the_page_shows_what_was_read_in_both_languages_and_themes(desk: FakeDesk, tmp_path: Path) -> None:
    with served(app(desk)) as url:
        seen = check_page(url, image(tmp_path / "image.jpg", (1200, 800)), artifacts())
    assert seen.lines == [line["text"] for line in LINES]
    assert seen.models == ["det INT8", "rec bf16 inconclusive"]
    assert seen.server == "82 ms"


def test_an_answer_without_text_is_shown_as_it_came(desk: FakeDesk, page: Browser, tmp_path: Path) -> None:
    desk.answer = {"classes": [{"id": 281, "name": "tabby", "score": 0.9}]}
    send(page, image(tmp_path / "image.jpg"))
    assert json.loads(page.one("#json pre").text) == desk.answer
    assert not page.one("#text").is_displayed()
    assert not page.one("#counted").is_displayed()
    assert texts(page, "#lines li") == []
    desk.answer = None
    send(page, image(tmp_path / "another.jpg"))
    assert page.one("#text").is_displayed()
    assert page.one("#count").text == str(len(LINES))


def test_what_a_model_reads_is_text_whatever_it_looks_like(page: Browser, tmp_path: Path) -> None:
    send(page, image(tmp_path / "image.jpg"))
    assert texts(page, "#lines .text")[1] == "<img src=x onerror=alert(1)>"
    assert page.all("#lines img") == []


def test_even_a_script_that_wants_to_cannot_make_html_of_a_text(page: Browser) -> None:
    refused = page.run(
        "try { document.body.insertAdjacentHTML('beforeend', '<b>x</b>'); return false }"
        "catch (error) { return error instanceof TypeError }"
    )
    assert refused
    page.forget()


@pytest.mark.parametrize("rotation", [1, 6])
def test_boxes_lie_over_what_they_name_also_if_a_camera_was_held_upright(
    page: Browser, tmp_path: Path, rotation: int
) -> None:
    send(page, image(tmp_path / "image.jpg", rotation=rotation))
    assert page.run(
        "const i = document.getElementById('image'); return [i.naturalWidth, i.naturalHeight]"
    ) == [120, 80]
    first, second = (pixel_in(page, number, tmp_path / "shot.png") for number in (0, 1))
    assert first[0] > 150 > first[1], first
    assert min(second) > 180, second


def test_an_image_that_the_service_does_not_turn_is_shown_as_it_is_stored(
    page: Browser, desk: FakeDesk, tmp_path: Path
) -> None:
    desk.upright = False
    desk.lines = [{"text": "sideways", "score": 1, "box": [[10, 50], [30, 50], [30, 110], [10, 110]]}]
    send(page, image(tmp_path / "image.jpg", rotation=6))
    pixel = pixel_in(page, 0, tmp_path / "shot.png")
    assert pixel[0] > 150 > pixel[1], pixel


def pixel_in(page: Browser, number: int, shot: Path) -> tuple[int, ...]:
    """The colour in the middle of a box, as it is shown."""
    page.picture(shot)
    x, y = page.run(
        "const box = document.querySelectorAll('#boxes .box')[arguments[0]].getBoundingClientRect();"
        "return [box.x + box.width / 2, box.y + box.height / 2]",
        number,
    )
    with Image.open(shot) as picture:
        pixel = picture.convert("RGB").getpixel((int(x), int(y)))
    assert isinstance(pixel, tuple)
    return pixel


def test_lines_are_walked_with_the_arrow_keys_and_mark_their_boxes(page: Browser, tmp_path: Path) -> None:
    send(page, image(tmp_path / "image.jpg"))
    first = page.one("#lines button")
    page.run("arguments[0].focus()", first)
    first.send_keys("\ue015")  # arrow down
    assert [box.get_attribute("data-line") for box in page.all("#boxes .active")] == ["1"]


def test_a_line_that_was_clicked_stays_marked_until_it_is_clicked_again(
    page: Browser, tmp_path: Path
) -> None:
    send(page, image(tmp_path / "image.jpg"))
    row = page.one("#lines button")
    row.click()
    page.run("document.activeElement.blur()")
    page.hover("header h1")
    assert len(page.all("#boxes .active")) == 1
    row.click()
    page.run("document.activeElement.blur()")
    page.hover("header h1")
    assert page.all("#boxes .active") == []


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_an_image_may_be_dropped_or_pasted(page: Browser, way: str) -> None:
    page.run(
        """
        const canvas = document.createElement("canvas");
        canvas.toBlob((blob) => {
          const data = new DataTransfer();
          data.items.add(new File([blob], "from-elsewhere.png", {type: "image/png"}));
          const options = {bubbles: true, cancelable: true};
          document.body.dispatchEvent(arguments[0] === "drop"
            ? new DragEvent("drop", {...options, dataTransfer: data})
            : new ClipboardEvent("paste", {...options, clipboardData: data}));
        });
        """.replace("arguments[0]", json.dumps(way))
    )
    page.until_state("done")
    assert page.one("#file-name").text == "from-elsewhere.png"
    assert page.one("#count").text == "3"


def test_the_sample_needs_nothing_but_the_page(page: Browser) -> None:
    page.one("#sample").click()
    page.until_state("done")
    assert page.one("#file-size").text.startswith("1000 × 660")


def test_the_file_is_sent_as_it_is_with_its_type(desk: FakeDesk, chromium: Browser, tmp_path: Path) -> None:
    made = app(desk)
    odd = image(tmp_path / "image.jpg").rename(tmp_path / "image.unheard-of")
    with served(made) as url:
        chromium.open(url)
        send(chromium, image(tmp_path / "image.jpg"))
        send(chromium, odd)
        chromium.until(lambda: len(made.state.seen) == 2, "there were not two requests")
    assert [model for model, _ in made.state.seen] == ["ocr", "ocr"]
    types = [headers["content-type"] for _, headers in made.state.seen]
    assert types == ["image/jpeg", "application/octet-stream"]


def test_an_error_is_told_in_the_words_of_the_service_and_can_be_tried_again(
    page: Browser, desk: FakeDesk, tmp_path: Path
) -> None:
    desk.fault = NotReady("no replica can answer", "try again in a moment")
    send(page, image(tmp_path / "image.jpg"), "failed")
    assert page.one("#error").is_displayed()
    assert "503" in page.one("#error-title").text
    assert page.one("#error-message").text.lower() == "no replica can answer"
    assert page.one("#error-remedy").text.lower() == "try again in a moment"
    desk.fault = None
    page.one("#retry").click()
    page.until_state("done")
    assert not page.one("#error").is_displayed()


def test_what_is_no_image_is_told_so(page: Browser, tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("plain text")
    send(page, text, "failed")
    assert page.one("#error-message").text.lower() == "not an image"


def test_a_file_above_the_limit_is_not_even_sent(chromium: Browser, tmp_path: Path) -> None:
    made: FastAPI = app(FakeDesk(max_body_bytes=900))
    with served(made) as url:
        chromium.open(url)
        chromium.until(lambda: chromium.all("#serving .model"), "the models are not shown")
        send(chromium, image(tmp_path / "image.jpg", (900, 900)), "failed")
        assert "900 B" in chromium.one("#error-message").text
    assert made.state.seen == []


def test_a_service_that_is_gone_is_told_so(desk: FakeDesk, chromium: Browser, tmp_path: Path) -> None:
    with served(app(desk)) as url:
        chromium.open(url)
        chromium.until(lambda: chromium.all("#serving .model"), "the models are not shown")
    send(chromium, image(tmp_path / "image.jpg"), "failed")
    assert chromium.one("#error-title").text == "No answer"


def test_a_key_is_asked_for_only_when_it_is_needed_and_kept_in_memory_only(
    desk: FakeDesk, chromium: Browser, tmp_path: Path
) -> None:
    made = app(desk, key="s3cret")
    with served(made) as url:
        chromium.open(url)
        chromium.until(lambda: chromium.all("#serving .model"), "the models are not shown")
        assert not chromium.one("#unlock").is_displayed()
        send(chromium, image(tmp_path / "image.jpg"), "failed")
        assert chromium.one("#unlock").is_displayed()
        chromium.one("#key").send_keys("wrong\n")
        chromium.until(lambda: "refused" in chromium.one("#key-hint").text, "a wrong key is not told")
        chromium.picture(artifacts() / "page-key.png")
        chromium.one("#key").send_keys("s3cret\n")
        chromium.until_state("done")
        assert not chromium.one("#unlock").is_displayed()
        kept = chromium.run(
            "return JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href])"
        )
        assert "s3cret" not in kept
        assert "s3cret" not in chromium.one("#curl pre").get_attribute("textContent")
    sent = [headers.get("authorization") for _, headers in made.state.seen]
    assert sent == [None, "Bearer wrong", "Bearer s3cret"]


def test_an_image_that_the_browser_cannot_show_still_gets_its_boxes(page: Browser, tmp_path: Path) -> None:
    picture = tmp_path / "scan.tiff"
    Image.new("RGB", (120, 80), WHITE).save(picture)
    send(page, picture)
    assert page.one("#unseen").is_displayed()
    assert len(page.all("#boxes g")) == len(LINES)


def test_an_image_without_text_is_told_so(page: Browser, desk: FakeDesk, tmp_path: Path) -> None:
    desk.lines = []
    send(page, image(tmp_path / "image.jpg"))
    assert page.one("#none").text == "No text was found in this image."


def test_without_the_services_own_times_only_the_round_trip_is_shown(
    desk: FakeDesk, chromium: Browser, tmp_path: Path
) -> None:
    with served(app(desk, timing="")) as url:
        chromium.open(url)
        send(chromium, image(tmp_path / "image.jpg"))
        assert chromium.one("#round-trip").text.endswith("s")
        assert not chromium.one("#server-figure").is_displayed()
        assert not chromium.one("#stages").is_displayed()


def test_a_chinese_browser_gets_chinese(desk: FakeDesk) -> None:
    with served(app(desk)) as url, browser("zh-CN") as chinese:
        chinese.open(url)
        assert chinese.one("h1").text == "用图片提问"
        chinese.one("#language").click()
        assert chinese.one("h1").text == "Ask with an image"
        chinese.driver.refresh()
        assert chinese.one("h1").text == "Ask with an image", "the choice is kept"


def test_no_process_and_no_file_outlives_the_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    # Not tmp_path: Chromium has a socket in there, and the path of a socket is at most 107 bytes long.
    with tempfile.TemporaryDirectory() as home:
        monkeypatch.setattr("tempfile.tempdir", home)
        with browser() as running:
            running.open("about:blank")
            running_now = psutil.process_iter(["cmdline"])
            mine = [each for each in running_now if home in " ".join(each.info["cmdline"] or ())]
            assert mine
        _, alive = psutil.wait_procs(mine, timeout=10)
        assert alive == []
        assert list(Path(home).iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "written", "sent"),
    [("text", "我爱北京", "我爱北京".encode()), ("json", '{"ids": [1]}', b'{"inputs": {"ids": [1]}}')],
)
def test_a_pipeline_that_takes_no_images_is_asked_with_what_is_written(
    chromium: Browser, desk: FakeDesk, kind: Kind, written: str, sent: bytes
) -> None:
    pipeline, *models = desk.catalog.models
    desk.catalog = Catalog((replace(pipeline, accepts=kind), *models))
    desk.answer = {"words": [{"word": "我", "tag": "r"}]}
    with served(app(desk)) as url:
        chromium.forget()
        chromium.open(url)
        chromium.until(lambda: chromium.one("#ask").is_displayed(), "there is no place to write")
        assert not chromium.one("#choices").is_displayed()
        assert "image" not in chromium.one("body").text.lower()
        chromium.one("#content").send_keys(written)
        chromium.picture(artifacts() / f"ask-{kind}.png")
        chromium.one("#ask button").click()
        chromium.until_state("done")
        assert desk.seen == [sent]
        assert json.loads(chromium.one("#json pre").text) == desk.answer
        assert not chromium.one("#picture").is_displayed()
        chromium.one("#another").click()
        assert chromium.one("#content").is_displayed()
        assert "image" not in chromium.one("body").text.lower()
        chromium.picture(artifacts() / f"answer-{kind}.png")
        desk.fault = BadRequest("`text` is empty", "send a text in UTF-8")
        chromium.one("#ask button").click()
        chromium.until_state("failed")
        assert "image" not in chromium.one("#error").text.lower()
        chromium.check(url, allowed="Failed to load resource")


def test_of_two_pipelines_the_one_that_is_chosen_is_asked_with_what_it_takes(
    desk: FakeDesk, chromium: Browser, tmp_path: Path
) -> None:
    words = FakeDesk(
        Catalog((replace(desk.catalog.pipeline, name="words", accepts="text"),)), max_body_bytes=20
    )
    words.answer = {"words": ["一"]}
    with served(app(desk, words)) as url:
        chromium.forget()
        chromium.open(url)
        chromium.until(lambda: chromium.one("#pipelines").is_displayed(), "there is no choice")
        send(chromium, image(tmp_path / "image.jpg"))
        choose(chromium, "words")
        assert not chromium.one("#result").is_displayed()
        assert texts(chromium, "#serving .pipeline") == ["words"]
        assert chromium.all("#serving .model") == []
        chromium.one("#content").send_keys("text")
        chromium.one("#ask button").click()
        chromium.until_state("done")
        assert (words.seen, json.loads(chromium.one("#json pre").text)) == ([b"text"], words.answer)
        assert "predict/words" in chromium.one("#curl pre").get_attribute("textContent")
        # Each has its own limit.
        chromium.one("#another").click()
        chromium.one("#content").send_keys("text" * 10)
        chromium.one("#ask button").click()
        chromium.until_state("failed")
        choose(chromium, "ocr")
        assert not chromium.one("#error").is_displayed()
        assert not chromium.one("#ask").is_displayed()
        send(chromium, image(tmp_path / "other.jpg"))
        assert texts(chromium, "#lines .text")[0] == LINES[0]["text"]
        assert len(chromium.all("#serving .model")) == 2
        chromium.check(url)


def choose(page: Browser, name: str) -> None:
    page.one(f"#pipelines option[value={name}]").click()
