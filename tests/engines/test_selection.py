from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from tests.engines.rewrites import programs
from tests.engines.rewrites.programs import op
from toolkit.child import Progress

HEAD = [op("tanh", {"X": "x"}, "b"), op("sigmoid", {"X": "x"}, "s")]
THRESHOLDS = {"score_threshold": 0.1, "nms_threshold": 0.5, "nms_top_k": 10, "keep_top_k": 5}
SUPPRESSION = [
    "multiclass_nms3",
    {"BBoxes": ["b"], "Scores": ["s"]},
    {"Out": ["boxes"], "NmsRoisNum": ["count"], "Index": ["index"]},
    {**THRESHOLDS, "background_label": -1},
]


def look(ops: list[Any], outputs: list[str], progress: Progress) -> dict[str, Any]:
    """In the child: the outputs and operators of a program without its selection, and of the program itself then."""
    del progress
    from toolkit.engines import graph as graphs
    from toolkit.engines import model, program, selection

    with tempfile.TemporaryDirectory() as folder:
        programs.write(Path(folder), ops, {}, outputs, [1, 4, 4])
        files = model.files_in(Path(folder))
        graph, declared = graphs.read(files), program.signature(program.read(files.model))
    found = selection.without_selection(graph)
    return {
        "same": found is graph,
        "outputs": found.outputs[: -len(["anchored"])],
        "ops": programs.describe(found),
        "before": programs.describe(graph),
        "shapes": {tensor.name: tensor.shape for tensor in declared.outputs},
    }


def case(ops: list[Any], outputs: list[str]) -> programs.Job:
    return "tests.engines.test_selection:look", {"ops": ops, "outputs": outputs}


CASES = {
    "suppression": case([*HEAD, SUPPRESSION], ["boxes", "count"]),
    "beside another": case([*HEAD, SUPPRESSION], ["s", "boxes"]),
    "none": case(HEAD, ["s", "b"]),
}


def test_what_a_detector_selects_from_takes_the_place_of_what_it_selects(outcomes: dict[str, Any]) -> None:
    found = outcomes["suppression"]
    assert found["outputs"] == ["b", "s"]
    assert found["ops"] == ["tanh x -> b", "sigmoid x -> s"]
    assert len(found["before"]) == 3, "the program itself is left alone"


def test_how_many_rows_are_selected_is_dynamic_in_the_signature(outcomes: dict[str, Any]) -> None:
    shapes = outcomes["suppression"]["shapes"]
    assert (shapes["boxes"][0], shapes["count"]) == (-1, [-1])
    assert outcomes["none"]["shapes"]["b"] == [1, 4, 4]


def test_an_output_is_there_once_though_it_is_selected_from_too(outcomes: dict[str, Any]) -> None:
    assert outcomes["beside another"]["outputs"] == ["s", "b"]


def test_a_program_that_selects_nothing_is_taken_as_it_is(outcomes: dict[str, Any]) -> None:
    assert outcomes["none"]["same"]
    assert outcomes["none"]["outputs"] == ["s", "b"]
