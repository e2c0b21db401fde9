"""Putting a release in the place of what runs: behind open ports where that can be, else by stopping and starting."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from toolkit.errors import ServiceError, ToolkitError
from toolkit.hardware import HARDWARE
from toolkit.serving import cpp, release
from toolkit.supervisor import control, front
from toolkit.supervisor import state as states
from toolkit.supervisor.conversation import Conversation, conversation
from toolkit.supervisor.deployed import Target
from toolkit.supervisor.state import READY, State

Verified = TypeVar("Verified")


@dataclass(frozen=True)
class Switched(Generic[Verified]):
    """
    Attributes:
        state: the service.
        proof: what `verify` returned.
        seconds: from the request for it until it served.
        warm: whether a replica of it stood by.
        why_stopped: why what ran was stopped for it; empty where ports and connections stayed, or nothing ran.
    """

    state: State
    proof: Verified
    seconds: float
    warm: bool = False
    why_stopped: str = ""


@dataclass(frozen=True)
class CanaryRequest:
    """A canary before the switch.

    Attributes:
        percent: of the requests that the new release gets at first.
        told: called with each analysis; see `toolkit.supervisor.canary.Analysis`.
    """

    percent: float
    told: Callable[[Mapping[str, Any]], None]


def switch(
    home: Path, target: Target, verify: Callable[[State], Verified], canary: CanaryRequest | None = None
) -> Switched[Verified]:
    """Have the service run `target`; if that fails, what ran before runs on, or again.

    Args:
        home: the pipeline's folder in the build directory.
        verify: asks what serves then; if it raises, that goes, too.
        canary: for what runs to be compared with first; where nothing runs there is nothing to compare.

    Raises:
        CanaryError: it did worse on canary.
        ToolkitError: it did not become ready, or that of `verify`; the message says what serves now.
    """
    target.verify()
    plan = release.read(target.directory)
    HARDWARE[plan.target].require()
    if cpp.read(target.directory) is not None:
        raise ServiceError(
            f"{target.label} is for the C++ server, which gives no golden answers that could verify it",
            remedy="`make launch` starts it",
        )
    wanted = front.of(target.settings, plan.limits)
    current = states.running(home)
    if current is None or current.status != READY:
        return _replace(home, target, verify, "")
    if canary is not None:
        _check_requests(plan, release.read(current.target.directory))
    with ExitStack() as stack:
        try:
            talk = stack.enter_context(conversation(Path(current.run_dir)))
        except OSError:
            # Of a toolkit that had no control channel yet, for instance.
            return _replace(home, target, verify, _unless(canary, "it takes no commands"))
        switched = _behind_open_ports(home, talk, current, target, wanted, verify, canary)
    if isinstance(switched, Switched):
        return switched
    return _replace(home, target, verify, _unless(canary, switched))


def _check_requests(plan: release.Release, current: release.Release) -> None:
    """Releases on canary get the clients of the one that serves.

    Raises:
        ServiceError: they bring what the release does not take.
    """
    if plan.accepts != current.accepts:
        raise ServiceError(
            f"a canary needs what its clients bring, which is {current.accepts}, and the release takes {plan.accepts}",
            remedy="deploy without a canary, when clients are ready for it",
        )


def _unless(canary: CanaryRequest | None, why: str) -> str:
    """Why the service has to be stopped for it, which leaves nothing to compare with.

    Raises:
        ServiceError: that was asked for.
    """
    if canary is None:
        return why
    raise ServiceError(
        f"a canary needs what serves to serve on, but it has to be stopped for this release, since {why}",
        remedy="deploy without a canary; what serves now serves again if that fails",
    )


def _behind_open_ports(
    home: Path,
    talk: Conversation,
    current: State,
    target: Target,
    wanted: Mapping[str, str],
    verify: Callable[[State], Verified],
    canary: CanaryRequest | None,
) -> Switched[Verified] | str:
    """Have the running service put `target` in front; if it would have to be started anew for that, why."""
    is_shifted = False
    try:
        if canary is None:
            answer = talk.ask("shift", target=target.to_json(), front=wanted)
        else:
            fields = {"target": target.to_json(), "front": wanted, "percent": canary.percent}
            answer = talk.ask("canary", canary.told, **fields)
        if "changed" in answer:
            return f"{' and '.join(answer['changed'])} changed"
        is_shifted = True
        proof = verify(_state(home))
        talk.ask("confirm")
        return Switched(_state(home), proof, **answer["shifted"])
    except ToolkitError as error:
        raise _with(error, _take_back(home, talk, current, is_shifted)) from error


def _take_back(home: Path, talk: Conversation, before: State, is_shifted: bool) -> str:
    """Have what served before serve again, if it does not; what serves then, in words."""
    if states.running(home) is None:
        return _put_back(home, before)
    if not is_shifted:
        return f"nothing has changed: {before.target.label} serves on, at {before.http_url}"
    try:
        talk.ask("revert")
    except ToolkitError as error:
        return f"the release before could not be put back: {error.message}"
    return f"the release before serves again, at {before.http_url}"


def _state(home: Path) -> State:
    found = states.running(home)
    if found is None:
        raise ServiceError("the service ended meanwhile", where=str(home), remedy="`make logs` shows why")
    return found


def _replace(home: Path, target: Target, verify: Callable[[State], Verified], why: str) -> Switched[Verified]:
    """Stop what runs, if anything does, and start the other."""
    current = states.running(home)
    held = {current.http_port, current.grpc_port} if current is not None else set()
    control.check_ports(target.settings, held)
    before = control.stop(home)
    try:
        started = time.monotonic()
        state = control.launch(home, target, provisional=True)
        seconds = time.monotonic() - started
        proof = verify(state)
        with conversation(Path(state.run_dir)) as talk:
            talk.ask("confirm")
        return Switched(state, proof, seconds, why_stopped=why)
    except ToolkitError as error:
        raise _with(error, _put_back(home, before)) from error
    except BaseException:
        _put_back(home, before)
        raise


def _put_back(home: Path, before: State | None) -> str:
    """Have the service run what `before` records; what serves then, in words."""
    try:
        control.stop(home)
        if before is None:
            return "nothing serves now"
        control.launch(home, before.target)
        return f"the release before serves again, at {before.http_url}"
    except ToolkitError as error:
        return f"nothing serves now: the release before could not be started again: {error.message}"


def _with(error: ToolkitError, told: str) -> ToolkitError:
    """The same error, and what serves now."""
    return type(error)(f"{error.message}\n  {told}", where=error.where, remedy=error.remedy)
