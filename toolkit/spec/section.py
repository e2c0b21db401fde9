"""What all sections of the spec have in common, and the types that they share."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import Literal

Reference = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
# A judge of this name needs no labels.
AGREEMENT = "agreement"
JudgeReference = Annotated[str, Field(pattern=r"^(agreement|[A-Za-z_][\w.]*:[A-Za-z_]\w*)$")]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Precision = Literal["int8", "bf16", "fp32"]
Dimension = Annotated[int, Field(ge=1)]
AnswerPath = Annotated[
    str,
    Field(
        pattern=r"^\w+(\.\w+)?$",
        description="`member` of the answer, or `list.member`: that member of each item of the list",
    ),
]


class Section(BaseModel):
    """A part of the spec: frozen, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
