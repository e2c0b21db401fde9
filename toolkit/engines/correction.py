"""Bias correction: what rounding a weight adds to the mean of each output channel is taken off the bias.

Nagel, van Baalen, Blankevoort, Welling: "Data-Free Quantization Through Weight Equalization and Bias Correction" (ICCV
2019), section 4.2. The means come from calibration, so nothing is assumed about how the input is distributed.
"""

from __future__ import annotations

from typing import Any, Optional

import numpy as np

from toolkit.engines import qdq
from toolkit.engines.graph import Graph
from toolkit.engines.layers import Layer
from toolkit.engines.rewrites import linear

Array = np.ndarray[Any, np.dtype[Any]]


def correct(graph: Graph, layer: Layer, means: Optional[Array], granularity: str) -> bool:
    """Take the mean error of rounding the weight off the bias of `layer`; one that has none gets one.

    For a graph without quantizing operators. A new bias writes the tensor that the layer wrote, so what calibration
    knows of that tensor holds on; find the layers anew before they are quantized, since `layer.output` is another.

    Args:
        means: mean of each channel of the layer's input, (channels,); None: not known.
        granularity: of the weight's scales, `channel` or `tensor`.

    Returns:
        False where nothing was changed: the weight is not rounded, other layers share it, or there is not one mean for
        each input channel.
    """
    op = graph.producer(layer.output)
    target = linear.linear_of(graph, op) if op is not None and layer.kind not in qdq.FLOAT_ONLY else None
    if target is None or layer.output in graph.used_inside():
        return False
    if means is None or means.shape != (target.inputs,):
        return False
    # For each output channel o: sum over i of E[x_i] times sum over k of (rounded - W)[o, i, k]. Exact but at borders
    # that a convolution pads, where x is 0.
    error = target.response(_rounding(graph.weights[target.weight], layer, granularity), means)
    linear.add_to_bias(graph, target, -error)
    return True


def _rounding(weight: Array, layer: Layer, granularity: str) -> Array:
    """What rounding adds to each element of the weight, float64."""
    axis = qdq.scale_axis(layer, granularity)
    thresholds = qdq.thresholds_of(weight, axis)
    integers = qdq.to_integers(weight, thresholds, axis)
    return qdq.from_integers(integers, thresholds, axis).astype(np.float64) - weight
