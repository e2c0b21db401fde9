"""python -m tests.rollouts [--release DIR] [--pairs 10] [--replicas 2] [--json]

Makes two releases of a rendered one, whose answers differ by a mark, each with an FP32 variant that has a mark of its
own. Deploys them in turn, with a rollback after each deployment, while clients ask without a pause over HTTP, gRPC and
with Paddle's own client; then goes to FP32 by the command and back. Prints what clients saw of it.

Exits with 1 if a request failed, an answer was none of a release that served at that time, a process was left, or FP32
took longer than two seconds. Exits with 2 if there is no release.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests import rendered
from tests.chaos.service import free_port, processes_of
from tests.rollouts import releases, report
from tests.rollouts.load import Load
from tests.rollouts.timeline import Step, Timeline
from toolkit.cli.ask import ask
from toolkit.errors import ToolkitError
from toolkit.supervisor import control, journal, lock, runs
from toolkit.supervisor import state as states
from toolkit.supervisor.deployed import FP32, RELEASE, Target
from toolkit.supervisor.settings import Settings
from toolkit.supervisor.switch import switch

# Characters of the service's log that are shown when something went wrong.
_LOG = 8000

ROOT = Path(__file__).resolve().parents[2]


def main(argv: list[str] | None = None) -> int:
    """Run it; the exit code."""
    options = _options(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="rollouts-") as folder:
        home = Path(folder) / "build" / "ocr"
        try:
            found = run(home, releases.make(options.release, Path(folder)), options)
        except ToolkitError as error:
            log = "".join(
                path.read_text()[-_LOG:] for path in runs.logs(home) if path.name == states.SERVICE_LOG
            )
            print(f"{log}\nerror: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("interrupted; the service is stopped", file=sys.stderr)
            return 130
        finally:
            control.stop(home)
            left = processes_of(Path(folder))
            for process in left:
                process.kill()
    if left:
        found["problems"].append(f"{len(left)} processes were left")
        found["passed"] = False
    print(json.dumps(found, indent=2) if options.json else "\n".join(report.text(found)))
    return 0 if found["passed"] else 1


def run(home: Path, made: list[Path], options: argparse.Namespace) -> dict[str, Any]:
    """All deployments and rollbacks under load; see `report.figures`."""
    settings = Settings("127.0.0.1", free_port(), free_port(), options.replicas)
    targets = [Target(str(path), settings) for path in made]
    control.launch(home, targets[0])
    timeline = Timeline(targets[0].label)
    with Load(_state(home), targets) as load:
        load.wait_for(6)
        usual = len(processes_of(home))
        for number in range(options.pairs):
            _say(f"deployment and rollback {number + 1} of {options.pairs}")
            timeline.steps.append(_deploy(home, targets[1], timeline))
            timeline.steps.append(_roll_back(home, timeline, targets[0]))
        _wait_for_standby(home)
        in_fp32 = replace(targets[0], variant=FP32)
        timeline.steps.append(_roll_back(home, timeline, in_fp32, "--to", FP32))
        timeline.steps.append(_roll_back(home, timeline, targets[0], "--to", RELEASE))
        load.wait_for(6)
        _wait_for_standby(home)
    return report.figures(load, timeline, options.pairs, usual, len(processes_of(home)))


def _deploy(home: Path, target: Target, timeline: Timeline) -> Step:
    """What `toolkit deploy` does once the stages have found a release."""
    with timeline.step("deploy", target.label) as step, lock.exclusive(home, f"deploy {target.label}"):
        with journal.noted(home, "deploy", _state(home).target.label, target.label):
            switched = switch(home, target, lambda state: ask(state).to_json())
        step.service_seconds, step.warm = switched.seconds, switched.warm
    _say(f"  deployed {target.label}: {step}")
    return step


def _roll_back(home: Path, timeline: Timeline, target: Target, *arguments: str) -> Step:
    """The command, in a process of its own; its time is that of the whole process until clients see it."""
    argv = [sys.executable, "-m", "toolkit", "rollback", "--json", "--build", str(home.parent), *arguments]
    with timeline.step("rollback", target.label) as step:
        with subprocess.Popen(
            argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as command:
            while command.poll() is None and _state(home).target != target:
                time.sleep(0.01)
            step.effect_seconds = time.monotonic() - step.began
            told, problem = command.communicate(timeout=300)
        if command.returncode:
            raise AssertionError(f"{' '.join(argv)}: {problem}")
        rollout = json.loads(told)["rollout"]
        step.service_seconds, step.warm = rollout["seconds"], rollout["warm"]
    _say(f"  went back to {target.label}: {step}")
    return step


def _wait_for_standby(home: Path) -> None:
    deadline = time.monotonic() + 120
    while not any(item["state"] == "standby" for item in _state(home).replicas):
        assert time.monotonic() < deadline, "nothing stands by"
        time.sleep(0.1)


def _state(home: Path) -> states.State:
    found = states.running(home)
    assert found is not None, "the service does not run"
    return found


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = rendered.parser("python -m tests.rollouts", __doc__, replicas=2)
    parser.add_argument("--pairs", type=int, default=10, help="deployments, each with a rollback")
    return rendered.parsed(parser, argv, "pairs")


if __name__ == "__main__":
    sys.exit(main())
