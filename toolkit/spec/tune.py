"""What `make tune` tries."""

from __future__ import annotations

from typing import Annotated, Any, Optional

from pydantic import Field, model_validator

from toolkit.spec.section import Name, Section


class TuneServingSpec(Section):
    """Values of keys of `serving` that are tried; that of `serving` itself is always tried, too."""

    replicas: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(), description="those that the cores do not bear with `threads` are left out"
    )
    threads: tuple[Annotated[int, Field(ge=1)], ...] = ()
    workers: tuple[Annotated[int, Field(ge=1)], ...] = ()


class TuneSpec(Section):
    """What `make tune` tries on this machine, and what it looks for: most throughput within the bounds."""

    target_p99_milliseconds: Optional[float] = Field(
        default=None,
        gt=0,
        description="99 of 100 requests are answered within it; default: what the spec as it is takes",
    )
    memory_megabytes: Optional[int] = Field(
        default=None, ge=1, description="of the service with its replicas; default: no limit"
    )
    budget_seconds: float = Field(
        default=300, gt=0, description="for everything; what is left then is not tried"
    )
    clients: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(1, 2, 4, 8),
        min_length=1,
        description="that ask at a time, each its next question when it has its answer; tried until more gain nothing",
    )
    images: int = Field(
        default=8, ge=1, description="validation images that are asked, evenly spread over the split"
    )
    serving: TuneServingSpec = Field(default_factory=TuneServingSpec)
    options: dict[Name, dict[str, tuple[Any, ...]]] = Field(
        default_factory=dict,
        description="by model and key of its `options`: values that are tried beside the one there; one that changes "
        "golden answers is refused",
    )

    @model_validator(mode="after")
    def _rising(self) -> TuneSpec:
        if list(self.clients) != sorted(set(self.clients)):
            raise ValueError("the `clients` must rise")
        return self
