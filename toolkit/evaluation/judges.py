"""The judge that a spec names: one of the pipeline's own, or the built-in one, which needs no labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional, Union

from toolkit import pipeline
from toolkit.content import read
from toolkit.content.kinds import FIELDS, Kind
from toolkit.content.read import ContentError
from toolkit.data.labels import Sample
from toolkit.errors import DataError
from toolkit.evaluation import agreement
from toolkit.evaluation.agreement import Rule
from toolkit.evaluation.metrics import Counts
from toolkit.pipeline import Judge, Payload, RequestError
from toolkit.spec import AGREEMENT

REFERENCE = "reference"


class Agreement:
    """How far answers are those of native FP32: all that can be said where nobody knows what is right.

    Args:
        directory: the pipeline's folder.
        options: `accepts`; `request` and `request_options`; `response`, which makes an answer of a payload (None: what
            is judged is an answer); `kind`, `path` and `classes` of the rule; `reference`, native FP32's answers by the
            sample's name (None: it is native FP32 that is measured, which agrees with itself).
    """

    def __init__(self, directory: Path, options: Mapping[str, Any]) -> None:
        self._kind: Kind = options["accepts"]
        self._decode = pipeline.resolve(directory, options["request"])
        self._decode_options = options["request_options"]
        response = options["response"]
        self._respond = pipeline.resolve(directory, response) if response else None
        self._rule = Rule(options["kind"], options["path"], options.get("classes"))
        self._reference: Optional[Mapping[str, Any]] = options.get(REFERENCE)

    def payload(self, sample: Sample) -> Payload:
        """What a request with the sample's file becomes.

        Raises:
            DataError: the file has nothing of the kind that the pipeline takes, or the pipeline refuses it.
        """
        try:
            given = read.fields(self._kind, {FIELDS[self._kind]: sample.file.read_bytes()})
            payload: Payload = self._decode(given, self._decode_options)
        except (ContentError, RequestError) as error:
            raise DataError(
                f"a request with the sample is refused: {error}",
                where=str(sample.file),
                remedy="take it out of the data, or correct it",
            ) from error
        return payload

    def answer(self, payload: Payload) -> Any:
        """What a client would get."""
        return payload if self._respond is None else self._respond(payload)

    def counts(self, sample: Sample, payload: Payload) -> Counts:
        """What of the answer is native FP32's, in the rule's unit."""
        answer = self.answer(payload)
        reference = answer if self._reference is None else self._reference[sample.name]
        found = agreement.compare(self._rule, reference, answer)
        of = round(found.of)
        return Counts(of - round(found.differing), of, of)


def make(directory: Union[str, Path], named: Sequence[Any]) -> Judge:
    """The judge of a pipeline in `directory`.

    Args:
        named: reference and options, as `PipelineSpec.judge_of` has them.
    """
    reference, options = named
    if reference == AGREEMENT:
        return Agreement(Path(directory), options)
    judge: Judge = pipeline.resolve(Path(directory), reference)(options)
    return judge
