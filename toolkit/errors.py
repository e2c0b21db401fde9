"""Every error a user can meet: what happened, where, what to do, and the exit code it ends with."""

from __future__ import annotations

from typing import Any, Optional


class ToolkitError(Exception):
    """An error that the user can act on; shown without a traceback.

    Args:
        message: what happened, in one sentence.
        where: the file, key path, layer or port that it happened at.
        remedy: what to do next.
    """

    exit_code = 1

    def __init__(self, message: str, *, where: Optional[str] = None, remedy: Optional[str] = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        lines = [self.message]
        if self.where:
            lines.append(f"  where:  {self.where}")
        if self.remedy:
            lines.append(f"  remedy: {self.remedy}")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """The error as a JSON object, as `--json` prints it and as a child process hands it over."""
        return {
            "error": type(self).__name__,
            "message": self.message,
            "where": self.where,
            "remedy": self.remedy,
            "exit_code": self.exit_code,
        }


class SpecError(ToolkitError):
    """The pipeline spec, or an option that overrides it, is wrong."""

    exit_code = 3


class GateError(ToolkitError):
    """A forced precision did not keep the accuracy that the gate demands."""

    exit_code = 4


class InconclusiveError(ToolkitError):
    """The samples are too few to tell whether a candidate keeps the accuracy, and that was not to be accepted."""

    exit_code = 10


class DataError(ToolkitError):
    """A dataset is missing, malformed, or not fit for its purpose."""

    exit_code = 5


class ModelError(ToolkitError):
    """A model cannot be found, read, run, quantized or converted."""

    exit_code = 6


class TemplateError(ToolkitError):
    """A template cannot be rendered, or what it rendered is not a valid config."""

    exit_code = 7


class ServiceError(ToolkitError):
    """The service cannot be started, reached or stopped."""

    exit_code = 8


class SmokeError(ToolkitError):
    """The running service does not answer as it should."""

    exit_code = 9


class ChildError(ToolkitError):
    """A child process of the toolkit ended without an answer.

    Attributes:
        ended_from_outside: somebody ended it, or the kernel when memory ran out; it says nothing of the work.
    """

    exit_code = 11
    ended_from_outside = False


class ReleaseError(ToolkitError):
    """A release is missing, not what was released, or there already with other content."""

    exit_code = 12


class CanaryError(ToolkitError):
    """A new release did worse than the one that serves, or was not shown to do as well, while both answered."""

    exit_code = 13


def from_json(data: dict[str, Any]) -> ToolkitError:
    """The error that `ToolkitError.to_json` described, of its own class again."""
    classes: dict[str, type[ToolkitError]] = {cls.__name__: cls for cls in ToolkitError.__subclasses__()}
    cls = classes.get(data["error"], ToolkitError)
    return cls(data["message"], where=data.get("where"), remedy=data.get("remedy"))
