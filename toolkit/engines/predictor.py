"""The one factory of predictors: what evaluation judged is what the replica serves."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from toolkit import cpu
from toolkit.engines import program
from toolkit.engines.files import ModelFiles
from toolkit.engines.options import PredictorOptions
from toolkit.errors import ModelError

Feed = Mapping[str, "np.ndarray[Any, Any]"]
Fetch = dict[str, "np.ndarray[Any, Any]"]

# Paddle keeps by shape what it asks oneDNN for, but not all of it, and relies on oneDNN's own cache for the rest. That
# holds 1024 primitives by default, of all models of the process: too few for the shapes of one recognizer, and what is
# gone is compiled again. Over receipts a request took 1.2 times as long.
_PRIMITIVES = "16384"


class Predictor(Protocol):
    """A loaded model: named arrays in, named arrays out. Not safe for use by several threads at once."""

    inputs: list[str]
    outputs: list[str]

    def __call__(self, feed: Feed) -> Fetch:
        """Run one inference.

        Args:
            feed: an array for each input, of the dtype that the model declares.

        Raises:
            ModelError: an input is missing or unknown, or the engine refused the arrays.
        """


class PaddlePredictor:
    """A model loaded in Paddle Inference; see `Predictor`.

    Args:
        sequences: inputs with a level of detail; the rows of an inference are one sequence.
    """

    def __init__(self, handle: Any, sequences: frozenset[str] = frozenset()) -> None:
        self._handle = handle
        self._sequences = sequences
        self.inputs: list[str] = list(handle.get_input_names())
        self.outputs: list[str] = list(handle.get_output_names())

    def __call__(self, feed: Feed) -> Fetch:
        """Run one inference; see `Predictor`."""
        if set(feed) != set(self.inputs):
            raise ModelError(f"the model takes the inputs {self.inputs}, not {sorted(feed)}")
        try:
            for name, array in feed.items():
                tensor = self._handle.get_input_handle(name)
                tensor.copy_from_cpu(np.ascontiguousarray(array))
                if name in self._sequences:
                    tensor.set_lod([[0, len(array)]])
            self._handle.run()
        except Exception as error:
            raise ModelError(f"the inference failed: {_reason(error)}") from error
        return {name: self._handle.get_output_handle(name).copy_to_cpu() for name in self.outputs}


def create(files: ModelFiles, options: PredictorOptions) -> Predictor:
    """Load the model `files` to run as `options` say, in the engine that they name.

    Raises:
        ModelError: the engine refused the model, or is not installed.
    """
    if options.backend == "openvino":
        from toolkit.engines import openvino

        return openvino.create(files, options)
    return in_paddle(files, options)


def in_paddle(files: ModelFiles, options: PredictorOptions) -> PaddlePredictor:
    """Load the model `files` in Paddle Inference.

    Raises:
        ModelError: Paddle Inference refused the model.
    """
    from paddle import inference

    try:
        handle = inference.create_predictor(config_of(files, options))
        return PaddlePredictor(handle, program.sequences(files.model))
    except Exception as error:
        raise ModelError(
            f"Paddle Inference cannot load the model: {_reason(error)}",
            where=str(files.model),
            remedy="check that the weights belong to this program and that both files are whole",
        ) from error


def config_of(files: ModelFiles, options: PredictorOptions) -> Any:
    """Paddle Inference's settings for the model `files` to run as `options` say."""
    # Read when the first primitive is made.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", _PRIMITIVES)
    from paddle import inference

    config = inference.Config(str(files.model), str(files.params))
    config.disable_gpu()
    config.disable_glog_info()
    config.set_cpu_math_library_num_threads(options.threads)
    config.switch_ir_optim(True)
    config.enable_memory_optim()
    safe(config)
    if options.backend == "onednn":
        config.enable_mkldnn()
        config.set_mkldnn_cache_capacity(options.cache_capacity)
    else:
        # Paddle 2.6 enables oneDNN by a global flag; the reference must not.
        config.disable_mkldnn()
    if options.precision == "bf16":
        config.enable_mkldnn_bfloat16()
    if options.precision == "int8":
        config.enable_mkldnn_int8(set(options.op_set))
        if options.rest == "bf16":
            # In this order: Paddle 2.6.2 drops the passes for bf16 when those for INT8 come after them.
            config.enable_mkldnn_bfloat16()
    return config


def safe(config: Any) -> Any:
    """`config`, without what crashes on this processor."""
    if not cpu.has_avx512():
        # PaddlePaddle 2.6.2 was compiled with AVX-512 in this pass and does not ask the processor: SIGILL while
        # loading any model, Paddle#64852. What the pass makes, self_dp_attention, needs AVX-512 too.
        config.delete_pass("self_attention_fuse_pass")
    return config


def _reason(error: BaseException) -> str:
    """The sentence of Paddle's long messages that says what was wrong, and in which operator."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # "InvalidArgumentError: ..." or, without Paddle's own traceback, "(InvalidArgument) ...".
    told = [line for line in lines if re.match(r"\w+Error: |\(\w+\) ", line)] or [type(error).__name__]
    operator = next((line for line in reversed(lines) if line.startswith("[operator")), "")
    return f"{told[-1]} {operator}".strip()
