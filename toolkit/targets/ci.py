"""What continuous integration runs, here and in the rendered workflows: commands of the toolkit, in order."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from toolkit import process

_STDERR = 2


@dataclass(frozen=True)
class Step:
    """
    Attributes:
        title: what it does, in a few words.
        command: of the toolkit.
        model: the pipeline.
        builds: whether it takes the options of stages: data, precision, budget.
    """

    title: str
    command: str
    model: str
    builds: bool = True

    @property
    def arguments(self) -> tuple[str, ...]:
        """Of the program `toolkit`."""
        return (self.command, "--model", self.model)


def steps(model: str) -> tuple[Step, ...]:
    """From the trained model to a release that passed the gate; each finds what the ones before have built."""
    return (
        Step("Export and optimize", "optimize", model),
        Step("Calibrate", "calibrate", model),
        Step("Search for INT8", "quantize", model),
        Step("Judge", "evaluate", model),
        Step("Write the release", "render", model),
        Step("Render the targets", "targets", model, builds=False),
    )


def run(step: Step, options: Sequence[str]) -> int:
    """Run a step in a process of its own, as CI does; its exit code.

    Args:
        options: further ones. What it prints goes to standard error.
    """
    argv = [sys.executable, "-m", "toolkit", *step.arguments, *options]
    running = process.start(argv, stdout=_STDERR, stderr=_STDERR)
    try:
        return running.wait()
    except BaseException:
        process.stop_group(running.pid, grace=30)
        running.wait()
        raise
