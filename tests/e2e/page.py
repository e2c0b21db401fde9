"""The demo page in a headless Chromium: tried out as a user would, watched for what it must not do."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Callable
from xml.sax.saxutils import escape

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-breakpad",
    "--hide-scrollbars",
)


def missing() -> str:
    """Why there is no browser; empty if there is one."""
    absent = [str(path) for path in (CHROMIUM, DRIVER) if not path.exists()]
    return (
        f"no {' and no '.join(absent)}; Debian's: apt-get install chromium chromium-driver" if absent else ""
    )


def artifacts() -> Path:
    """Where screenshots are kept."""
    return Path(os.environ.get("TEST_ARTIFACTS", "build/test-artifacts"))


class Browser:
    """A page in Chromium, and what it did."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver
        self._requested: list[str] = []
        self._complaints: list[str] = []

    def open(self, url: str) -> None:
        self.driver.get(url)

    def size(self, width: int, height: int, mobile: bool = False) -> None:
        values = {"width": width, "height": height, "deviceScaleFactor": 2 if mobile else 1, "mobile": mobile}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", values)

    def dark(self, wanted: bool) -> None:
        feature = {"name": "prefers-color-scheme", "value": "dark" if wanted else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})

    def one(self, selector: str) -> Any:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[Any]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def hover(self, selector: str) -> None:
        """Move the pointer to the middle of an element, as far as it can be seen."""
        box = self.run(
            "const element = document.querySelector(arguments[0]); element.scrollIntoView({block: 'nearest'});"
            "const box = element.getBoundingClientRect();"
            "return [box.x + box.width / 2, box.y + box.height / 2]",
            selector,
        )
        values = {"type": "mouseMoved", "x": box[0], "y": box[1]}
        self.driver.execute_cdp_cmd("Input.dispatchMouseEvent", values)

    def send_image(self, image: Path) -> None:
        self.one("#file").send_keys(str(image.resolve()))

    def until(self, condition: Callable[[], Any], what: str, seconds: float = 30) -> None:
        WebDriverWait(self.driver, seconds, poll_frequency=0.05).until(lambda _: condition(), what)

    def until_state(self, name: str) -> None:
        self.until(lambda: self.run("return document.body.dataset.state") == name, f"the state is not {name}")

    def picture(self, path: Path) -> None:
        """A screenshot, once everything has appeared that moves in."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.run(
            "for (const each of document.getAnimations()) if (each.effect.getTiming().iterations === 1) each.finish()"
        )
        self.driver.save_screenshot(str(path))

    def check(self, url: str, allowed: str = "\0") -> None:
        """No request left the page's origin, and the browser had nothing to complain of, save for `allowed`."""
        self._listen()
        # No page may ask for chrome: addresses; the browser does, for the empty tab that it starts with.
        own = (url, "blob:" + url, "data:", "chrome://", "chrome-untrusted://")
        elsewhere = [address for address in self._requested if not address.startswith(own)]
        assert elsewhere == [], elsewhere
        complaints = [text for text in self._complaints if allowed not in text]
        assert complaints == [], complaints

    def forget(self) -> None:
        """What was asked and complained of so far, also where a test provoked it."""
        self._listen()
        self._requested.clear()
        self._complaints.clear()

    def _listen(self) -> None:
        get_log: Any = self.driver.get_log
        for entry in get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self._requested.append(message["params"]["request"]["url"])
        self._complaints += [entry["message"] for entry in get_log("browser")]


@contextmanager
def browser(language: str = "en-US") -> Iterator[Browser]:
    """A Chromium of its own, with a profile, a home and a temporary directory that go with it."""
    home = Path(tempfile.mkdtemp(prefix="page-"))
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*_FLAGS, f"--user-data-dir={home / 'profile'}", f"--accept-lang={language}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    environment = {
        **os.environ,
        "HOME": str(home),
        "TMPDIR": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
    }
    environment["FONTCONFIG_FILE"] = str(_fonts(home))
    try:
        service = Service(executable_path=str(DRIVER), env=environment)
        driver = webdriver.Chrome(options=options, service=service)
        try:
            driver.set_page_load_timeout(30)
            yield Browser(driver)
        finally:
            driver.quit()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _fonts(home: Path) -> Path:
    """The system's fonts, and the Chinese ones of the pages' generator: a bare machine has none."""
    found = find_spec("mplfonts")
    assert found is not None
    assert found.origin is not None
    config = home / "fonts.conf"
    folder = escape(str(Path(found.origin).parent / "fonts"))
    config.write_text(
        '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>'
        f'<include ignore_missing="yes">/etc/fonts/fonts.conf</include><dir>{folder}</dir>'
        f"<cachedir>{escape(str(home / 'cache'))}</cachedir></fontconfig>"
    )
    return config


@dataclass(frozen=True)
class Seen:
    """What the page showed.

    Attributes:
        lines: texts, in order.
        models: as `det INT8`.
        round_trip, server: times as shown; the second is empty where the service does not tell it.
    """

    lines: list[str]
    models: list[str]
    round_trip: str
    server: str


def check_page(url: str, image: Path, artifact_dir: Path) -> Seen:
    """Open the demo page of a running service, send `image`, and look at the answer in every way that a user can.

    Args:
        url: of the page, with a slash at the end.
        artifact_dir: takes `page-*.png` and `docs.png`.
    """
    with browser() as chromium:
        chromium.size(1360, 860)
        chromium.dark(False)
        chromium.open(url)
        chromium.until(
            lambda: chromium.all("#serving .model"), "the page does not say which models are served"
        )
        chromium.picture(artifact_dir / "page-start.png")
        chromium.send_image(image)
        chromium.until_state("done")
        seen = _seen(chromium)
        check_highlights(chromium)
        _take_pictures(chromium, artifact_dir)
        chromium.check(url)
        check_docs(chromium, url, artifact_dir)
        return seen


def _seen(chromium: Browser) -> Seen:
    lines = [element.text for element in chromium.all("#lines .text")]
    assert lines, "the page shows no line"
    assert len(chromium.all("#boxes g")) == len(lines), "every line has one box"
    assert chromium.one("#round-trip").text.endswith("s")
    models = [" ".join(element.text.split()) for element in chromium.all("#answered .model")]
    return Seen(lines, models, chromium.one("#round-trip").text, chromium.one("#server").text)


def check_highlights(chromium: Browser) -> None:
    """A line under the pointer marks its box, and a box its line."""
    chromium.hover("#lines li:last-child .text")
    last = chromium.one("#lines li:last-child").get_attribute("data-line")
    assert _active(chromium, "#boxes") == [last]
    chromium.hover("header h1")
    assert _active(chromium, "#boxes") == []
    chromium.hover("#boxes g:first-child .box")
    assert _active(chromium, "#lines") == ["0"]


def _active(chromium: Browser, side: str) -> list[str]:
    return [element.get_attribute("data-line") for element in chromium.all(f"{side} .active")]


def _take_pictures(chromium: Browser, artifact_dir: Path) -> None:
    chromium.picture(artifact_dir / "page-desktop.png")
    chromium.dark(True)
    chromium.picture(artifact_dir / "page-dark.png")
    chromium.dark(False)
    chromium.hover("header h1")
    chromium.one("#language").click()
    assert chromium.run("return document.documentElement.lang") == "zh-CN"
    chromium.size(390, 844, mobile=True)
    overflow = chromium.run("return document.documentElement.scrollWidth - innerWidth")
    assert overflow <= 0, "the page is wider than a phone"
    chromium.run("scrollTo(0, 0)")
    chromium.picture(artifact_dir / "page-phone.png")
    chromium.size(1360, 860)


def check_docs(chromium: Browser, url: str, artifact_dir: Path) -> None:
    """The documentation of the API shows its operations, from nothing but the service itself."""
    chromium.open(url + "docs")
    chromium.until(lambda: chromium.all(".opblock"), "Swagger UI shows no operation")
    chromium.picture(artifact_dir / "docs.png")
    assert chromium.all(".errors") == []
    chromium.check(url)
