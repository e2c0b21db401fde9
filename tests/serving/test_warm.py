from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest

from toolkit.engines.signature import Signature, Tensor
from toolkit.errors import ModelError
from toolkit.serving.model_thread import ModelThread
from toolkit.serving.warm import WarmUp

ONE = Signature((Tensor("image", "float32", (-1, 3)),), ())


class Engine:
    """Compiles each shape when it first meets it, as oneDNN does; takes `seconds` for that."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.compiled: list[tuple[int, ...]] = []
        self._seconds = seconds

    def __call__(self, feed: Any) -> Any:
        shape = feed["image"].shape
        if shape not in self.compiled:
            time.sleep(self._seconds)
            self.compiled.append(shape)
        return {"y": feed["image"]}


def warm_up(
    seconds: float = 60.0, within: float = 60.0, capacity: int = 128, limit: int | None = None
) -> WarmUp:
    return WarmUp(seconds, time.monotonic() + within, capacity, limit)


class Listing:
    """A step of which only the list of shapes is of interest."""

    def __init__(self, *shapes: Any) -> None:
        self._shapes = shapes

    def shapes(self) -> Any:
        return iter(self._shapes)


def listed(*sizes: int) -> Any:
    return Listing(*({"image": (size, 3)} for size in sizes))


class Silent:
    """A step that lists nothing."""

    def preprocess(self, payload: Any) -> Any:
        return []

    def postprocess(self, payload: Any, outputs: Any) -> Any:
        return payload


def test_what_is_warm_is_not_compiled_again_by_the_first_request() -> None:
    engine, beats = Engine(), []
    infer = ModelThread("rec", lambda: engine, lambda: beats.append(None))
    done = warm_up()(infer, ONE, listed(1, 2, 4))
    assert engine.compiled == [(1, 3), (2, 3), (4, 3)]
    infer({"image": np.ones((2, 3), np.float32)})
    assert len(engine.compiled) == 3
    # The pulse goes on while a replica warms up.
    assert len(beats) == 4
    assert (done.listed, done.run) == (3, 3)
    assert str(done) == f"3 of 3 shapes in {done.seconds:.1f} s"


def test_each_input_is_zeros_of_its_own_type() -> None:
    fed: list[Any] = []
    known = Signature((Tensor("image", "float32", (-1, 3)), Tensor("length", "int64", (-1,))), ())
    warm_up()(fed.append, known, Listing({"length": (2,), "image": (2, 3)}))
    ((feed,), types) = fed, {"image": np.float32, "length": np.int64}
    assert {name: array.dtype for name, array in feed.items()} == types
    assert [array.shape for array in feed.values()] == [(2, 3), (2,)]
    assert not any(array.any() for array in feed.values())


def test_it_ends_when_the_time_is_up_and_says_so() -> None:
    engine = Engine(seconds=0.05)
    done = warm_up(seconds=0.12)(engine, ONE, listed(*range(1, 50)))
    assert 1 <= done.run == len(engine.compiled) <= 4
    assert "then the time was up" in str(done)


def test_all_models_share_the_time_and_the_deadline_ends_it_in_any_case() -> None:
    engine = Engine(seconds=0.05)
    together = warm_up(seconds=0.12)
    together(engine, ONE, listed(*range(1, 50)))
    assert together(engine, ONE, listed(*range(50, 99))).run == 0
    assert warm_up(within=0.0)(engine, ONE, listed(99)).run == 0


def test_no_more_is_run_than_the_engine_keeps_of_all_models_together() -> None:
    engine = Engine()
    together = warm_up(capacity=4)
    assert together(engine, ONE, listed(1, 2, 3)).run == 3
    second = together(engine, ONE, listed(4, 5))
    assert (second.run, engine.compiled[-1]) == (1, (4, 3))
    assert "the engine keeps 1 of them: raise serving.cache_capacity" in str(second)


def test_it_ends_before_a_fixed_limit_of_memory_would_end_the_replica(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = Engine()
    megabytes = iter([50, 59, 60, 60])
    process = SimpleNamespace(memory_info=lambda: SimpleNamespace(rss=next(megabytes) << 20))
    monkeypatch.setattr(psutil, "Process", lambda: process)
    done = warm_up(limit=100)(engine, ONE, listed(1, 2, 3, 4))
    assert engine.compiled == [(1, 3), (2, 3)]
    assert str(done).endswith(" s, then it had 60% of serving.memory_limit_megabytes")


def test_a_process_that_has_too_much_already_runs_nothing_and_one_with_room_all() -> None:
    engine = Engine()
    assert warm_up(limit=1)(engine, ONE, listed(1, 2)).run == 0
    assert warm_up(limit=1 << 20)(engine, ONE, listed(1, 2)).run == 2


def test_a_shape_that_the_model_refuses_is_an_error_with_the_shape() -> None:
    def refuse(feed: Any) -> Any:
        raise ModelError("the inference failed: no")

    with pytest.raises(ModelError, match=r"'image': \(7, 3\).* the inference failed: no"):
        warm_up()(refuse, ONE, listed(7))


def test_a_list_without_one_of_the_inputs_is_an_error() -> None:
    with pytest.raises(ModelError, match="which the model does not take: 'image'"):
        warm_up()(Engine(), ONE, Listing({"picture": (1, 3)}))


def test_a_step_that_lists_no_shapes_is_left_to_its_golden_requests() -> None:
    engine = Engine()
    assert str(warm_up()(engine, ONE, Silent())) == "its step lists no shapes"
    assert engine.compiled == []
