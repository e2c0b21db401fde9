from __future__ import annotations

import difflib
from pathlib import Path, PurePosixPath

import pytest
import yaml

from tests.targets.examples import EXAMPLES, GOLDEN, RENDERED, VERSION, ocr
from toolkit import templates
from toolkit.errors import TemplateError
from toolkit.targets import files
from toolkit.targets.files import TARGETS
from toolkit.targets.plan import plan

DOCS = Path(__file__).resolve().parents[2] / "docs" / "targets.md"


@pytest.mark.parametrize("name", EXAMPLES)
def test_all_files_are_those_of_the_golden_render(name: str) -> None:
    kept = {
        PurePosixPath(path.relative_to(GOLDEN / name)): path.read_text(encoding="utf-8")
        for path in (GOLDEN / name).rglob("*")
        if path.is_file()
    }
    rendered = RENDERED[name]
    assert set(rendered) == set(kept), "run `python -m tests.targets`"
    changes = [
        line
        for path in kept
        for line in difflib.unified_diff(
            kept[path].splitlines(), rendered[path].splitlines(), f"kept/{path}", f"rendered/{path}"
        )
    ]
    assert not changes, "`python -m tests.targets` keeps what was meant:\n" + "\n".join(changes)


@pytest.mark.parametrize("name", EXAMPLES)
def test_nothing_is_left_to_chance_by_an_image_called_latest(name: str) -> None:
    for path, text in RENDERED[name].items():
        assert ":latest" not in text, path
        assert text.endswith("\n"), path


def test_a_part_of_the_targets_is_rendered_alone() -> None:
    assert {path.parts[0] for path in files.render(ocr(), ["proxy", "systemd"])} == {"proxy", "systemd"}
    assert {path.parts[0] for path in files.render(ocr())} == set(TARGETS)


def test_the_docs_say_what_each_folder_is_for() -> None:
    assert [f"| `{target}/` |" for target in TARGETS if f"| `{target}/` |" not in DOCS.read_text()] == []


def test_writing_replaces_the_folders_of_its_targets_and_no_others(tmp_path: Path) -> None:
    for old in ("proxy/old.conf", "ci/kept.yml"):
        (tmp_path / old).parent.mkdir()
        (tmp_path / old).touch()
    written = files.write(files.render(ocr(), ["proxy"]), tmp_path)
    assert written == [tmp_path / "proxy" / "nginx.conf"]
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["kept.yml", "nginx.conf"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "not valid YAML"),
        ("a: 1\n---\n", "no mapping"),
        ("{{ nothing }}", "'nothing' is undefined"),
    ],
)
def test_a_wrong_template_is_named(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ci").mkdir()
    (tmp_path / "ci" / "a.yml.j2").write_text(text)
    monkeypatch.setattr(templates, "TEMPLATES", tmp_path)
    with pytest.raises(TemplateError, match=message) as caught:
        files.render(ocr(), ["ci"])
    assert str(caught.value.where).startswith("ci/a.yml.j2")


def test_a_container_has_room_for_its_replicas_one_that_takes_anothers_place_and_one_that_stands_by() -> None:
    spec = EXAMPLES["small"]
    found = plan(spec, VERSION)
    assert (found.replicas, found.memory_megabytes) == (3, 3 * 900 + 2 * 1100 + 500)
    alone = spec.model_copy(update={"serving": spec.serving.model_copy(update={"standby": "none"})})
    assert plan(alone, VERSION).memory_megabytes == 3 * 900 + 1100 + 500
    assert plan(ocr()).replicas == 2


def test_what_is_waited_for_follows_from_the_service() -> None:
    found = plan(EXAMPLES["small"])
    assert found.stop_seconds == 8, "twice 1.5 s, and a margin"
    assert found.start_probes * found.probe_seconds == 25, "20 s, and a margin"


def test_a_name_is_written_as_each_place_wants_it() -> None:
    paths = {str(path) for path in RENDERED["small"]}
    assert "systemd/serving-small-net.service" in paths
    documents = yaml.safe_load_all(RENDERED["small"][PurePosixPath("kubernetes/base/deployment.yml")])
    assert [item["metadata"]["name"] for item in documents] == ["small-net"]
