"""The documentation site: its reference is complete, its links lead somewhere, and it needs no other host."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from docs.site import reference
from tests.gateway.measured import REPLICA, Service
from toolkit import errors, pipeline
from toolkit.cli.main import COMMANDS
from toolkit.data.labels import Sample
from toolkit.errors import ToolkitError
from toolkit.evaluation.metrics import Counts
from toolkit.pipeline import Arrays, Shaped
from toolkit.spec.schema import SCHEMA_FILE

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return reference.pages()


# --------------------------------------------------------------------------------------------------- reference


def schema_keys() -> Iterator[tuple[str, str]]:
    """Description of a section, and a key of it."""
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    for section in (schema, *schema["$defs"].values()):
        for key in section["properties"]:
            yield section["description"], key


def test_every_key_of_a_spec_is_in_the_reference_under_its_section(pages: dict[str, str]) -> None:
    told = {}
    for section in re.split(r"^## ", pages["reference/spec.md"], flags=re.MULTILINE)[1:]:
        text = section.split("\n\n")[1]
        told[text] = re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE)
    keys = list(schema_keys())
    assert len(keys) > 100
    for text, key in keys:
        assert key in told[text], key


def test_a_key_is_told_with_its_values_its_default_and_its_meaning(pages: dict[str, str]) -> None:
    spec = pages["reference/spec.md"]
    assert "| `confidence` | number, above 0.5, below 1 | `0.95` |" in spec
    assert "| `source` | [section](#modelsnamesource) | required |" in spec
    assert '| `inconclusive` | `accept`, `reject`, `next` | `"accept"` |' in spec


def test_every_command_is_in_the_reference_with_its_options(pages: dict[str, str]) -> None:
    sections = re.split(r"^## ", pages["reference/commands.md"], flags=re.MULTILINE)[1:]
    by_name = {section.partition("\n")[0]: section for section in sections}
    assert set(by_name) == set(COMMANDS)
    assert "`--canary PERCENT` | First give the new release" in by_name["deploy"]
    assert "    toolkit verify [OPTIONS] RELEASE\n" in by_name["verify"]


def test_the_text_of_a_command_is_markdown_that_hides_nothing(pages: dict[str, str]) -> None:
    text = pages["reference/commands.md"]
    assert "writes --pipelines/&lt;model&gt;/: pipeline.yml" in text
    assert "\n\n    toolkit new --model mymodel --from path/to/inference\n" in text
    assert "\b" not in text


def test_the_reference_of_commands_names_no_place_of_this_machine(pages: dict[str, str]) -> None:
    assert str(ROOT) not in "".join(pages.values())


def test_every_exit_code_is_in_the_reference(pages: dict[str, str]) -> None:
    told = dict(re.findall(r"^\| (\d+) \| (?:`(\w+)`)? \|", pages["reference/exit-codes.md"], re.MULTILINE))
    kinds = [kind for kind in ToolkitError.__subclasses__() if kind.__module__ == errors.__name__]
    assert {str(kind.exit_code): kind.__name__ for kind in kinds}.items() <= told.items()
    assert {code for code, name in told.items() if not name} == {"0", "1", "2", "70", "130"}


def test_the_readme_has_the_same_exit_codes(pages: dict[str, str]) -> None:
    codes = [
        re.findall(r"^\| (\d+) \|", text, flags=re.MULTILINE)
        for text in (pages["reference/exit-codes.md"], (ROOT / "README.md").read_text(encoding="utf-8"))
    ]
    assert codes[0] == codes[1]


def test_every_metric_is_in_the_reference(pages: dict[str, str]) -> None:
    told = re.findall(r"^\| `(\w+)` \|", pages["reference/metrics.md"], flags=re.MULTILINE)
    exported: dict[str, Any] = Service(REPLICA).families()
    assert len(told) > 30
    assert {name.removesuffix("_total").removesuffix("_info") for name in told} == {
        name.removesuffix("_total").removesuffix("_info") for name in exported
    }


# -------------------------------------------------------------------------------------------------- quick start


def commands_of(text: str) -> list[str]:
    """The commands in indented blocks, without comments."""
    lines = re.findall(r"^    ((?:make|curl) .*)$", text, flags=re.MULTILINE)
    return [line.partition("#")[0].strip() for line in lines]


def test_the_quick_start_in_chinese_has_the_commands_of_the_one_in_english() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    english = readme.partition("## Quick start")[2].partition("\n## ")[0]
    chinese = (ROOT / "docs" / "quickstart.zh.md").read_text(encoding="utf-8")
    assert len(commands_of(english)) > 2
    assert set(commands_of(english)) <= set(commands_of(chinese))


# -------------------------------------------------------------------------------------------------------- steps


def test_the_code_of_the_page_on_steps_works(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "steps.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(python|yaml)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    (_, ops), (_, written), (_, judge) = blocks
    (tmp_path / "ops.py").write_text(ops)
    (tmp_path / "judge.py").write_text(judge)
    spec = yaml.safe_load(written)
    net = spec["models"]["net"]
    code, image = cv2.imencode(".png", np.full((50, 70, 3), 128, np.uint8))
    assert code
    (tmp_path / "image.png").write_bytes(image.tobytes())
    sample = Sample("image.png", tmp_path / "image.png", label=1)

    def infer(feed: Arrays) -> Arrays:
        assert {name: list(array.shape) for name, array in feed.items()} == net["inputs"]
        return {net["outputs"][0]: np.array([[0.75]])}

    step = pipeline.resolve(tmp_path, net["step"])(net["options"])
    truth = pipeline.resolve(tmp_path, net["judge"])({})
    payload = pipeline.run_step(step, infer, truth.payload(sample))
    assert truth.counts(sample, payload) == Counts(1, 1, 1)
    answer = pipeline.resolve(tmp_path, spec["response"])(payload)
    assert answer == {"sharpness": 0.75}
    assert pipeline.resolve(tmp_path, spec["judge"])({}).counts(sample, answer) == Counts(1, 1, 1)
    assert isinstance(step, Shaped)
    assert [{name: list(shape) for name, shape in item.items()} for item in step.shapes()] == [net["inputs"]]


# --------------------------------------------------------------------------------------------------------- site


def build(root: Path, directory: Path) -> subprocess.CompletedProcess[str]:
    """Write the site of a repository as `make docs` does."""
    config = ["--config-file", str(root / "docs" / "site" / "mkdocs.yml"), "--site-dir", str(directory)]
    argv = [sys.executable, "-m", "mkdocs", "build", *config]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("site")
    done = build(ROOT, directory)
    assert done.returncode == 0, done.stdout + done.stderr
    return directory


def test_each_link_that_leads_nowhere_is_an_error(tmp_path: Path) -> None:
    root = tmp_path / "repository"
    shutil.copytree(ROOT / "docs", root / "docs")
    for name in ("README.md", "CHANGELOG.md", "NOTICE", "pipelines"):
        (root / name).symlink_to(ROOT / name)
    links = ("nothing.md", "operations.md#nothing", "../README.md#nothing", "../pipelines/nothing")
    with (root / "docs" / "howto.md").open("a", encoding="utf-8") as page:
        page.writelines(f"\n[elsewhere]({link})\n" for link in links)
    done = build(root, tmp_path / "site")
    assert done.returncode != 0
    assert done.stderr.count("Doc file 'howto.md' contains") == len(links), done.stderr


def test_a_page_takes_nothing_from_another_host(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe)\b[^>]*\bsrc=\"?([^\"\s>]+)", text)
        loaded += re.findall(r"<link\b[^>]*\brel=\"?(?:stylesheet|preconnect|icon)[^>]*", text)
        assert loaded
        assert not [item for item in loaded if "//" in item], page


def test_links_of_the_readme_lead_to_pages_of_the_site(site: Path) -> None:
    home = (site / "index.html").read_text(encoding="utf-8")
    for place in ("quantization.html#without-labels", "pipelines/ocr.html", "changelog.html", "notice.txt"):
        assert f'href="{place}"' in home
        assert (site / place.partition("#")[0]).is_file()
