"""A service that is killed at any step of a rollout comes back as it was or as it was to be, whole."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tests.supervisor.stage import accept, make_release, stage
from toolkit.errors import ServiceError
from toolkit.supervisor import control, deployed, switch
from toolkit.supervisor import state as states


@pytest.mark.rollouts
@pytest.mark.timeout(3600)
def test_the_old_or_the_new_release_is_restored_whichever_step_the_service_is_killed_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It is to stay as the kill left it.
    monkeypatch.setattr(switch, "_put_back", lambda home, before: "nothing serves now")
    names = ("one", "two")
    for name in names:
        make_release(tmp_path / name, name)
        make_release(tmp_path / name / "fp32", f"{name} in fp32")
    kept = []
    with stage(tmp_path, monkeypatch) as here:
        control.launch(here.home, here.target(tmp_path / "one"))
        control.stop(here.home)
        for step in itertools.count(1):
            monkeypatch.setenv("KILL_AT", str(step))
            known = deployed.read(here.home)
            assert known is not None, "what is deployed is not known any more"
            control.launch(here.home, known.now)
            assert here.read() == known.now.label
            (other,) = set(names) - {known.now.label}
            try:
                switch.switch(here.home, here.target(tmp_path / other), accept)
                break
            except ServiceError:
                here.wait_for("it is gone", lambda: states.running(here.home) is None)
            after = deployed.read(here.home)
            assert after is not None
            assert after in (known, known.then(here.target(tmp_path / other)))
            kept.append(after.now == known.now)
    print(f"killed at {len(kept)} steps: {sum(kept)} times the old release came back")
    assert {True, False} == set(kept)
    assert len(kept) > 40
