"""What keeps a model from being converted, as the toolkit is to say it."""

from __future__ import annotations

OTHER_SIZES = (
    "give sizes that suit the model where it leaves any open: "
    "ARGS='--shape x=1,3,320,320', x the input's own name"
)


class RefusedError(Exception):
    """The model cannot be converted, or not be trusted after that.

    Attributes:
        remedy: what to do; empty: what helps with all models of its kind.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


def first_line(error: BaseException) -> str:
    """What an error says, without stack traces and the like; Paddle puts its sentence last."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = next((line for line in lines if "Error:" in line), lines[0] if lines else "")
    kind = type(error).__name__
    return (told if told.startswith(f"{kind}:") else f"{kind}: {told}")[:400]
