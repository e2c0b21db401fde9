"""What continuous integration runs, here and in the rendered workflows: commands of the toolkit, in order."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from toolkit import process

_STDERR = 2


# Options of commands that build, and of those that judge too.
_STAGE = ("data", "precision", "budget")
_JUDGE = (*_STAGE, "strict")


@dataclass(frozen=True)
class Step:
    """
    Attributes:
        title: what it does, in a few words.
        command: of the toolkit.
        model: the pipeline.
        takes: the options of `toolkit ci` that are its options too.
    """

    title: str
    command: str
    model: str
    takes: tuple[str, ...] = ()

    @property
    def arguments(self) -> tuple[str, ...]:
        """Of the program `toolkit`."""
        return (self.command, "--model", self.model)

    @property
    def line(self) -> str:
        """The same for a shell that has the variable VERSION."""
        return " ".join([*self.arguments, *(['--version "$VERSION"'] if "version" in self.takes else [])])


def steps(model: str) -> tuple[Step, ...]:
    """From the trained model to a bundle that passed the gate; each finds what the ones before have built."""
    return (
        Step("Export and optimize", "optimize", model, _STAGE),
        Step("Calibrate", "calibrate", model, _STAGE),
        Step("Search for INT8", "quantize", model, _STAGE),
        Step("Judge", "evaluate", model, _JUDGE),
        Step("Bundle the release", "release", model, (*_JUDGE, "version", "dist", "key")),
        Step("Render the targets", "targets", model, ("version",)),
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
