"""Statistics of the activations that may be quantized, from inferences of the FP32 model.

The model runs as it would be served in FP32, in oneDNN, with the tensors of interest as further outputs: so the
inferences take hardly longer than others. The tensors are looked at one after the other; there is never a copy of more
than one.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

import numpy as np

from toolkit.engines import graph, layers, model, predictor
from toolkit.engines.options import PredictorOptions
from toolkit.engines.predictor import Feed
from toolkit.errors import ModelError
from toolkit.quantization.statistics import TensorStatistics

Array = np.ndarray[Any, np.dtype[Any]]


class Collector:
    """Runs a model, and keeps statistics of its tensors over all that it was fed.

    Attributes:
        statistics: by the tensor's name in the program.
        seconds: time of the inferences, with all outputs, without the statistics.
    """

    def __init__(
        self, directory: Path, scratch: Path, tensors: Optional[Mapping[str, Optional[int]]] = None
    ) -> None:
        """Load the model of `directory`.

        Args:
            scratch: an empty directory for the copy with more outputs.
            tensors: names, each with its axis of channels (None: no statistics by channel); None: all inputs of
                convolutions and matrix products.

        Raises:
            ModelError: the model cannot be loaded, or it has nothing to quantize.
        """
        program = graph.read(model.files_in(directory))
        axes = layers.activations_of(layers.layers_of(program)) if tensors is None else tensors
        if not axes:
            raise ModelError(
                "the model has no convolution and no matrix product, so there is nothing to quantize",
                where=str(directory),
                remedy="give the model `candidates: [fp32]` in the pipeline spec",
            )
        self.statistics = {name: TensorStatistics() for name in axes}
        self.seconds = 0.0
        self._directory = directory
        self._axes = dict(axes)
        given = program.inputs + program.outputs
        program.add_outputs([name for name in axes if name not in given])
        program.write(scratch)
        self._run = predictor.in_paddle(model.files_in(scratch), PredictorOptions(backend="onednn"))
        # By position: Paddle's passes may have another tensor of the same values under another name.
        self._fetched = dict(zip(program.outputs, self._run.outputs))
        # A call shall copy none of them; they are read below, each on its own.
        self._run.outputs = []

    def update(self, feed: Feed) -> None:
        """Run one inference, and take its activations in.

        Raises:
            ModelError: the feed does not fit, or an activation is not finite.
        """
        begin = time.perf_counter()
        self._run(feed)
        self.seconds += time.perf_counter() - begin
        for name, statistics in self.statistics.items():
            try:
                statistics.update(self._values(name, feed), self._axes[name])
            except ValueError as error:
                raise ModelError(
                    f"the activation {name!r} has values that are not finite",
                    where=str(self._directory),
                    remedy="the FP32 model overflows on the calibration data; check its weights and preprocessing",
                ) from error

    def _values(self, name: str, feed: Feed) -> Array:
        if name in feed:
            return feed[name]
        return np.asarray(self._run._handle.get_output_handle(self._fetched[name]).copy_to_cpu())
