"""Which pipeline a request asks for: those that are served here, by name, each with a reception of its own."""

from __future__ import annotations

from collections.abc import Iterator

from toolkit.gateway.desk import Desk
from toolkit.gateway.faults import NotReady, UnknownModel
from toolkit.gateway.reception import Reception
from toolkit.oip.errors import shown


class Lobby:
    """The receptions; for one event loop."""

    def __init__(self) -> None:
        self._receptions: dict[str, Reception] = {}

    def open(self, pipeline: str) -> Reception:
        """A reception for requests to `pipeline`, which is not served yet."""
        reception = self._receptions[pipeline] = Reception()
        return reception

    def close(self, pipeline: str) -> None:
        """Take no more requests to `pipeline`; those under way keep what they have."""
        self._receptions.pop(pipeline, None)

    def of(self, name: str) -> Reception:
        """The reception for requests to a pipeline, `ocr`, or to one of its models, `ocr.det`.

        Those without a name, as Paddle Serving's own client sends them, go to the pipeline that was here first.

        Raises:
            UnknownModel: no such pipeline is served here.
            NotReady: none is.
        """
        for pipeline in (name, name.rpartition(".")[0]):
            reception = self._receptions.get(pipeline)
            if reception is not None and reception.serving is not None:
                return reception
        served = self._served
        if not served:
            raise NotReady.starting()
        if not name:
            return next(iter(served.values()))
        raise UnknownModel(f"no model {shown(name)} here", f"ask for {_any_of(sorted(served))}")

    def __iter__(self) -> Iterator[Desk]:
        """What new requests to each pipeline come to."""
        return (desk for reception in self._receptions.values() if (desk := reception.serving) is not None)

    @property
    def names(self) -> list[str]:
        """Of the pipelines that take requests."""
        return list(self._served)

    @property
    def ready(self) -> bool:
        """Whether all pipelines can answer, and there is one."""
        return bool(self._served) and all(desk.ready for desk in self)

    @property
    def _served(self) -> dict[str, Reception]:
        return {
            name: reception for name, reception in self._receptions.items() if reception.serving is not None
        }


def _any_of(names: list[str]) -> str:
    listed = ", ".join(repr(name) for name in names)
    return listed if len(names) == 1 else f"one of {listed}"
