"""Putting a release in the place of what runs: behind open ports where that can be, else by stopping and starting."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from toolkit.errors import ServiceError, ToolkitError
from toolkit.hardware import HARDWARE
from toolkit.serving import cpp, release
from toolkit.supervisor import control, front, lock
from toolkit.supervisor import state as states
from toolkit.supervisor.conversation import Conversation, conversation
from toolkit.supervisor.deployed import Start, Target
from toolkit.supervisor.state import READY, State

Verified = TypeVar("Verified")

# How long another pipeline that has to be started anew may be in the hands of another command; which may be waiting
# for this one.
_OTHERS_SECONDS = 10.0


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
    if current is None:
        host = control.host_of(home, target.settings)
        return (
            _replace(home, target, verify, "") if host is None else _join(home, target, host, wanted, verify)
        )
    if current.status != READY:
        return _replace(home, target, verify, "")
    if canary is not None:
        _check_requests(plan, release.read(current.target.directory))
    with ExitStack() as stack:
        try:
            talk = stack.enter_context(conversation(Path(current.run_dir), home))
        except OSError:
            # Of a toolkit that had no control channel yet, for instance.
            return _replace(home, target, verify, _unless(canary, "it takes no commands"))
        switched = _behind_open_ports(
            home, talk, states.served_by(home.parent, current), target, wanted, verify, canary
        )
    if isinstance(switched, Switched):
        return switched
    why = _unless(canary, _in_words(switched))
    others = states.beside(home)
    if not others:
        return _replace(home, target, verify, why)
    if front.allows_others(switched):
        return _restart(home, target, current, verify, why)
    # It leaves them for another address, or not at all.
    host = states.at(home.parent, target.settings)
    if host is not None and host.pid == current.pid:
        raise control.cannot_join(next(iter(others.values())), switched)
    return _replace(home, target, verify, why)


def _join(
    home: Path, target: Target, host: State, wanted: Mapping[str, str], verify: Callable[[State], Verified]
) -> Switched[Verified]:
    """Have the service that has the address serve this one, too."""
    try:
        with conversation(Path(host.run_dir), home) as talk:
            served = states.served_by(home.parent, host)
            switched = _behind_open_ports(home, talk, served, target, wanted, verify, None)
    except OSError as error:
        raise control.takes_no_commands(host, error) from error
    if isinstance(switched, Switched):
        return switched
    if not front.allows_others(switched):
        raise control.cannot_join(host, switched)
    return _restart(home, target, host, verify, _in_words(switched))


def _restart(
    home: Path, target: Target, service: State, verify: Callable[[State], Verified], why: str
) -> Switched[Verified]:
    """Start a service anew, with `target` and all else that it serves.

    Raises:
        ServiceError: another command changes one of the others, or it could not be started again; nothing was touched.
    """
    with ExitStack() as stack:
        for folder in _others(home, service):
            stack.enter_context(lock.exclusive(folder, f"restart with {target.label}", _OTHERS_SECONDS))
        others = _others(home, service)
        for state in others.values():
            try:
                state.target.check()
                control.runnable(state.target)
            except ToolkitError as error:
                told = f"{state.name} would have to be started anew, too ({why}); nothing has changed"
                raise _with(error, told) from error
        return _replace(home, target, verify, why, others)


def _others(home: Path, service: State) -> dict[Path, State]:
    """All that the service serves but the pipeline at hand."""
    return {
        folder: state for folder, state in states.served_by(home.parent, service).items() if folder != home
    }


def _in_words(changed: Sequence[str]) -> str:
    return f"{' and '.join(changed)} changed"


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
    before: Mapping[Path, State],
    target: Target,
    wanted: Mapping[str, str],
    verify: Callable[[State], Verified],
    canary: CanaryRequest | None,
) -> Switched[Verified] | list[str]:
    """Have the running service put `target` in front; if it would have to be started anew for that, what changed.

    Args:
        before: the records of all that the service serves; without one of this pipeline, that joins them.
    """
    is_shifted = False
    try:
        if canary is None:
            answer = talk.ask("shift", target=target.to_json(), front=wanted)
        else:
            fields = {"target": target.to_json(), "front": wanted, "percent": canary.percent}
            answer = talk.ask("canary", canary.told, **fields)
        if "changed" in answer:
            changed: list[str] = answer["changed"]
            return changed
        is_shifted = True
        proof = verify(_state(home))
        talk.ask("confirm")
        return Switched(_state(home), proof, **answer["shifted"])
    except ToolkitError as error:
        raise _with(error, _take_back(home, talk, before, is_shifted)) from error


def _take_back(home: Path, talk: Conversation, before: Mapping[Path, State], is_shifted: bool) -> str:
    """Have what served before serve again, if it does not; what serves then, in words."""
    current = before.get(home)
    left = {folder: state for folder, state in before.items() if _is_ready(folder, state)}
    if not left:
        return "its service was told to end"
    if not any(state.alive for state in left.values()):
        return _put_back(home, left)
    if current is not None and states.running(home) is None:
        return _put_back(home, {home: current})
    if current is not None and not is_shifted:
        return f"nothing has changed: {current.target.label} serves on, at {current.http_url}"
    try:
        if states.running(home) is not None:
            talk.ask("revert")
    except ToolkitError as error:
        return f"it could not be taken back: {error.message}"
    if current is None:
        return f"{home.name} is not served; the other pipelines serve on"
    return f"the release before serves again, at {current.http_url}"


def _is_ready(home: Path, before: State) -> bool:
    """Whether the last word of that service is that the pipeline is ready: one that was told to end says otherwise."""
    last = states.read(home)
    return last is not None and last.pid == before.pid and last.status == READY


def _state(home: Path) -> State:
    found = states.running(home)
    if found is None:
        raise ServiceError("the service ended meanwhile", where=str(home), remedy="`make logs` shows why")
    return found


def _replace(
    home: Path,
    target: Target,
    verify: Callable[[State], Verified],
    why: str,
    others: Mapping[Path, State] = {},
) -> Switched[Verified]:
    """Stop what runs, if anything does, and start the other.

    Args:
        others: pipelines of the same service that are to be started anew with it.
    """
    current = states.running(home)
    before = {**({home: current} if current is not None else {}), **others}
    if not others:
        _check_ports(home, target, current)
    _make_way(home, before, others)
    try:
        host = control.host_of(home, target.settings)
        if host is not None:
            joined = _join(home, target, host, front.of(target.settings, _limits(target)), verify)
            return replace(joined, why_stopped=why)
        started = time.monotonic()
        starts = [Start(folder, state.target) for folder, state in others.items()]
        state = control.launch(home, target, provisional=True, others=starts)
        seconds = time.monotonic() - started
        proof = verify(state)
        with conversation(Path(state.run_dir), home) as talk:
            talk.ask("confirm")
        return Switched(state, proof, seconds, why_stopped=why)
    except ToolkitError as error:
        raise _with(error, _put_back(home, before)) from error
    except BaseException:
        _put_back(home, before)
        raise


def _limits(target: Target) -> release.Limits:
    return release.read(target.directory).limits


def _make_way(home: Path, before: Mapping[Path, State], others: Mapping[Path, State]) -> None:
    """End what serves; who interrupts that has it back."""
    try:
        _end(home, before, others)
    except ToolkitError:
        raise
    except BaseException:
        # What is told to end cannot go on.
        _end(home, before, others)
        _put_back(home, before)
        raise


def _end(home: Path, before: Mapping[Path, State], others: Mapping[Path, State]) -> None:
    if not others:
        control.stop(home)
    elif any(state.alive for state in before.values()):
        control.end([*before.values()])


def _check_ports(home: Path, target: Target, current: State | None) -> None:
    """
    Raises:
        ServiceError: a port is held by what will not make way, and is no service that could be joined.
    """
    host = states.at(home.parent, target.settings)
    ends = None if states.beside(home) else current
    if host is None or (ends is not None and host.pid == ends.pid):
        held = {ends.http_port, ends.grpc_port} if ends is not None else set()
        control.check_ports(target.settings, held)


def _put_back(home: Path, before: Mapping[Path, State]) -> str:
    """Have everything serve again that `before` records; what serves then, in words."""
    try:
        control.stop(home)
        left = {
            folder: state for folder, state in before.items() if folder == home or not states.running(folder)
        }
        if not left:
            return "the other pipelines serve on" if before else "nothing serves now"
        first, *rest = left.items()
        control.launch(
            first[0], first[1].target, others=[Start(folder, state.target) for folder, state in rest]
        )
        return f"the release before serves again, at {first[1].http_url}"
    except ToolkitError as error:
        return f"nothing serves now: the release before could not be started again: {error.message}"


def _with(error: ToolkitError, told: str) -> ToolkitError:
    """The same error, and what serves now."""
    return type(error)(f"{error.message}\n  {told}", where=error.where, remedy=error.remedy)
