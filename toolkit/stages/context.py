"""What every stage is given: the spec, the user's options, and the store that results go to."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from toolkit import cpu
from toolkit.child import Progress
from toolkit.console import Console
from toolkit.errors import ReleaseError
from toolkit.spec import PipelineSpec
from toolkit.store import digest
from toolkit.store.artifact import Artifact, Key, Store

PACKAGE = Path(__file__).resolve().parent.parent

# Code that every stage's result depends on, beside the stage's own module.
_COMMON_CODE = (
    PACKAGE / "engines",
    PACKAGE / "data",
    PACKAGE / "images",
    PACKAGE / "content",
    PACKAGE / "pipeline.py",
)

# Packages that decide, to the last digit, what a model is fed and what becomes of its outputs.
_NUMERIC_PACKAGES = (
    "numpy",
    "opencv-python-headless",
    "paddlepaddle",
    "pillow",
    "pyclipper",
    "rapidocr-paddle",
    "shapely",
)

_ENGINE_PACKAGES = {"paddle": "paddlepaddle", "openvino": "openvino"}

Builder = Callable[[Path, Progress], Mapping[str, Any]]


def machine() -> dict[str, Any]:
    """What a figure holds for: this processor's instruction sets, and these versions of packages."""
    return {
        "cpu": sorted(cpu.features()),
        "isa": {name: os.environ[name] for name in cpu.LEVEL_VARIABLES if name in os.environ},
        # A pipeline's container has those that it needs.
        "packages": {name: found for name in _NUMERIC_PACKAGES if (found := digest.version_of(name))},
    }


@dataclass(frozen=True)
class Context:
    """One run of the toolkit.

    Attributes:
        spec: the pipeline.
        build: directory of everything that is built.
        data: the user's dataset; None: the pipeline's own.
        precision: the only precision to try; None: those of the spec.
        budget: seconds for the search; None: those of the spec.
        console: where progress is shown.
        found_only: nothing is built; what is not there yet is an error.
        known: what this run has already looked up; the store is not asked twice.
    """

    spec: PipelineSpec
    build: Path
    data: Optional[Path]
    precision: Optional[str]
    console: Console
    budget: Optional[float] = None
    found_only: bool = False
    known: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def store(self) -> Store:
        """Where artifacts are."""
        return Store(self.build / "store")

    @property
    def home(self) -> Path:
        """The pipeline's own folder in the build directory: results, logs, the running service."""
        return self.build / self.spec.name

    @property
    def logs(self) -> Path:
        """Where the output of child processes goes."""
        return self.home / "logs"

    @property
    def calibrates(self) -> bool:
        """Whether there is data to calibrate with: the user's, or the pipeline's own where that is no placeholder."""
        return self.data is not None or not self.spec.data.placeholder

    def candidates_of(self, model: str) -> tuple[str, ...]:
        """The precisions to try for `model`; FP32 alone where there is nothing to calibrate with.

        The one that was asked for, except where the model names its own candidates and that is not among them. FP32,
        which is native where nothing else is served, every model has.
        """
        if not self.calibrates:
            return ("fp32",)
        own = self.spec.models[model].candidates
        if self.precision is None or (own and self.precision not in (*own, "fp32")):
            return self.spec.candidates_of(model)
        return (self.precision,)

    @property
    def engines(self) -> dict[str, str]:
        """The engines that candidates run in, with their versions: those of the spec that are installed."""
        versions = {name: digest.version_of(_ENGINE_PACKAGES[name]) for name in self.spec.engines}
        return {name: version for name, version in versions.items() if version is not None}

    def step_of(self, model: str) -> dict[str, Any]:
        """What a child takes to run a model's step: `pipeline_dir`, and of `step` and `judge` reference and options."""
        found = self.spec.models[model]
        return {
            "pipeline_dir": str(self.spec.directory),
            "step": [found.step, dict(found.options)],
            "judge": self.spec.judge_of(model),
        }

    def forced(self, model: str) -> Optional[str]:
        """The precision without which nothing of `model` may be served; None: native FP32 may always be."""
        asked_for = self.precision in ("int8", "bf16") and self.candidates_of(model) == (self.precision,)
        return self.precision if asked_for else None

    def pipeline_code(self) -> str:
        """Digest of the pipeline's folder: its code, and files that its code may read; not the spec, docs and tests."""
        if "pipeline code" not in self.known:
            self.known["pipeline code"] = digest.of_tree(
                self.spec.directory, without=("pipeline.yml", "*.md", "*.pyc", "test_*.py")
            )
        return str(self.known["pipeline code"])

    def artifact(
        self, stage: str, name: str, ingredients: Mapping[str, Any], code: tuple[Path, ...], builder: Builder
    ) -> Artifact:
        """The artifact of a stage, from the store, or built with progress shown.

        Args:
            ingredients: all that the result depends on, apart from code: options, keys of inputs, versions.
            code: modules and packages whose change makes the result another.

        Raises:
            ReleaseError: it is not there, and nothing is to be built.
        """
        key = Key(stage, name, {**ingredients, "code": digest.of_code(*_COMMON_CODE, *code)})
        if key.digest not in self.known:
            self.known[key.digest] = self._find_or_build(key, builder)
        artifact: Artifact = self.known[key.digest]
        return artifact

    def _find_or_build(self, key: Key, builder: Builder) -> Artifact:
        found = self.store.get(key)
        if found is not None:
            self.console.unchanged(key.stage, key.name)
            return found
        if self.found_only:
            raise ReleaseError(
                f"{self.spec.name} has not been built as its spec, data and code are now: {key.stage} of {key.name} "
                "is missing",
                where=str(self.store.directory),
                remedy=f"`make render MODEL={self.spec.name}` first, with the same DATA=, PRECISION= and BUDGET=",
            )

        def build(directory: Path) -> Mapping[str, Any]:
            with self.console.working(key.stage, key.name) as progress:
                return builder(directory, progress)

        return self.store.build(key, build)
