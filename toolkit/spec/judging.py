"""What the pipeline is judged by: data, the gate, and how whole answers are compared."""

from __future__ import annotations

from typing import Any, Optional

from pydantic import Field, model_validator
from typing_extensions import Literal

from toolkit.spec.section import AnswerPath, Name, Reference, Section


class DataSpec(Section):
    """The pipeline's own dataset, used where the user gives none with DATA=."""

    generator: Reference = Field(
        description="function (directory, options, progress) in the pipeline's folder"
    )
    options: dict[str, Any] = Field(default_factory=dict, description="handed to the generator")
    packages: tuple[str, ...] = Field(
        default=(), description="installed packages whose versions decide what the generator writes"
    )
    code: tuple[str, ...] = Field(
        default=(), description="folders of code that it uses beside its own, relative to the pipeline's"
    )
    placeholder: bool = Field(
        default=False,
        description="what the generator writes only stands in for requests, with an empty calibration.txt: without "
        "DATA= nothing is calibrated, and only FP32 is tried",
    )


class GateSpec(Section):
    """How much accuracy a candidate may lose, and what becomes of it when that cannot be told."""

    max_drop: float = Field(
        default=0.5,
        gt=0,
        le=100,
        description="points; a candidate that loses as much or more against FP32 is rejected",
    )
    relative: bool = Field(
        default=False, description="the drop is in percent of FP32's figure, not in points"
    )
    confidence: float = Field(
        default=0.95, gt=0.5, lt=1, description="of the bound on the drop that decides: one-sided"
    )
    inconclusive: Literal["accept", "reject", "next"] = Field(
        default="accept",
        description="samples too few to decide: serve it if the drop that was measured is inside the limit; "
        "take FP32; or try the next candidate",
    )
    prefer: Literal["int8", "latency", "size"] = Field(
        default="int8", description="among those that pass: the fastest INT8, the fastest, or the smallest"
    )
    int8_share: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="share of the multiply-accumulates that an INT8 candidate must run in INT8",
    )
    levels: tuple[Literal["AVX2", "AVX512_CORE", "AVX512_CORE_VNNI", "AVX512_CORE_BF16"], ...] = Field(
        default=(), description="lesser CPUs that the winner is also judged for, each by itself"
    )


class SearchSpec(Section):
    """How long the search for the best INT8 candidate may take."""

    budget_seconds: float = Field(default=600, ge=0, description="for all models together")


class OutputSpec(Section):
    """A part of the answer as a tensor of the Open Inference Protocol."""

    name: Name
    path: AnswerPath
    datatype: Literal["BYTES", "FP32", "FP64", "INT32", "INT64", "BOOL"]
    shape: tuple[int, ...] = Field(description="-1 for the number of items of the list")


class AgreementSpec(Section):
    """How whole answers of two precisions, or of two releases, are compared with each other: without labels."""

    kind: Literal["text", "top1", "boxes", "numbers"] = Field(
        description="text: edit distance of lines, in characters; top1: whether the first item is the same; "
        "boxes: those without a partner at an overlap of 0.5; numbers: those of an array, or of the arrays of an "
        "object, that are apart by more than a twentieth of its largest"
    )
    path: AnswerPath
    classes: Optional[AnswerPath] = Field(
        default=None,
        description="with boxes: where their classes are; partners have the same. Default: any has",
    )

    @model_validator(mode="after")
    def _of_boxes(self) -> AgreementSpec:
        if self.classes is not None and self.kind != "boxes":
            raise ValueError(f"`classes` goes with `kind: boxes`, not with `{self.kind}`")
        return self
