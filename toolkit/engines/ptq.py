"""INT8 by post-training quantization with PaddleSlim; runs in a child process."""

from __future__ import annotations

import logging
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.child import Progress
from toolkit.engines import export, model, program, signature
from toolkit.errors import ModelError

logger = logging.getLogger(__name__)

# PaddleSlim reads all batches once for the range of its histograms, and once more to fill them.
_TWO_PASSES = ("KL", "hist")


def quantize(
    source: str,
    feeds: Sequence[str],
    target: str,
    algorithm: str,
    hist_percent: float,
    weights: str,
    ops: Sequence[str],
    skip: Sequence[str],
    progress: Progress,
) -> dict[str, Any]:
    """Quantize the model in `source` to INT8 and write it to `target`.

    Args:
        feeds: .npz files, one calibration batch each, arrays by input name.
        algorithm: how the range of an activation is found: abs_max, hist, KL, mse or avg.
        hist_percent: share of the values within the range, for `hist`.
        weights: `channel_wise_abs_max` or `abs_max`.
        ops: operators to quantize.
        skip: tensors whose readers stay in float.

    Returns:
        The size in bytes, and the number of quantized operators by type.

    Raises:
        ModelError: the batches are not the model's inputs, PaddleSlim failed, or it quantized nothing.
    """
    _check_feeds(Path(source), feeds)
    place = model.files_in(Path(target))
    _run_paddleslim(
        Path(source), feeds, place.model.parent, progress, algorithm, hist_percent, weights, ops, skip
    )
    quantized = program.read(place.model)
    counts = _quantized_ops(quantized)
    if not counts:
        raise ModelError(
            f"PaddleSlim quantized no operator: the model has none of {', '.join(ops)}",
            where=source,
            remedy="name the operators of this model under `quantize.ops` in the pipeline spec",
        )
    # PaddleSlim may rename the outputs when it saves the program.
    export.name_tensors(Path(target), *signature.read(Path(source)).names)
    return {"bytes": place.size, "quantized": counts}


def _run_paddleslim(
    source: Path,
    feeds: Sequence[str],
    target: Path,
    progress: Progress,
    algorithm: str,
    hist_percent: float,
    weights: str,
    ops: Sequence[str],
    skip: Sequence[str],
) -> None:
    import paddle
    from paddleslim.quant import quant_post_static

    paddle.enable_static()
    np.random.seed(0)
    paddle.seed(0)
    executor = paddle.static.Executor(paddle.CPUPlace())
    passes = 2 if algorithm in _TWO_PASSES else 1
    with tempfile.TemporaryDirectory(dir=target) as scratch, _failures(source, algorithm):
        quant_post_static(
            executor=executor,
            model_dir=str(source),
            quantize_model_path=scratch,
            data_loader=_loader(source, feeds, lambda done: progress(done, passes * len(feeds))),
            model_filename=model.MODEL_FILE,
            params_filename=model.PARAMS_FILE,
            batch_nums=len(feeds),
            algo=algorithm,
            hist_percent=hist_percent,
            quantizable_op_type=list(ops),
            weight_quantize_type=weights,
            onnx_format=True,
            skip_tensor_list=list(skip) or None,
        )
        for name in (model.MODEL_FILE, model.PARAMS_FILE):
            Path(scratch, name).replace(target / name)


@contextmanager
def _failures(source: Path, algorithm: str) -> Iterator[None]:
    """PaddleSlim's errors as ours; the traceback goes to the log."""
    try:
        yield
    except Exception as error:
        logger.exception("PaddleSlim failed")
        raise ModelError(
            f"PaddleSlim cannot quantize the model with {algorithm}: {type(error).__name__}: {error}",
            where=str(source),
            remedy="choose another `quantize.algorithm` or other `quantize.ops` of the model in the pipeline spec",
        ) from error


def _check_feeds(source: Path, feeds: Sequence[str]) -> None:
    """Before PaddleSlim reads them: an error in the thread of its loader would make it wait for ever."""
    wanted = {tensor.name: (tensor.dtype, len(tensor.shape)) for tensor in signature.read(source).inputs}
    if not feeds:
        raise ModelError("there is no batch to calibrate with", where=str(source))
    for path in feeds:
        try:
            with np.load(path, allow_pickle=False) as arrays:
                found = {name: (str(arrays[name].dtype), arrays[name].ndim) for name in arrays.files}
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise ModelError("the calibration batch cannot be read", where=path) from error
        if found != wanted:
            raise ModelError(
                f"the calibration batch holds {_listed(found)}, the model takes {_listed(wanted)}",
                where=path,
                remedy="`preprocess` of the model's step must give these arrays",
            )


def _listed(tensors: Mapping[str, tuple[str, int]]) -> str:
    return ", ".join(
        f"{name} ({dtype}, {rank} dimensions)" for name, (dtype, rank) in sorted(tensors.items())
    )


def _loader(source: Path, feeds: Sequence[str], tick: Any) -> Any:
    """A `paddle.io.DataLoader` (PaddleSlim 2.6 takes nothing else) over the batches, which may differ in shape."""
    import paddle

    known = signature.read(source)

    class Batches(paddle.io.IterableDataset):  # type: ignore[misc] # the base class has no types
        done = 0

        def __iter__(self) -> Iterator[tuple[Any, ...]]:
            for path in feeds:
                with np.load(path, allow_pickle=False) as arrays:
                    yield tuple(arrays[tensor.name] for tensor in known.inputs)
                Batches.done += 1
                tick(Batches.done)

    main = paddle.static.Program()
    with paddle.static.program_guard(main):
        variables = [paddle.static.data(item.name, list(item.shape), item.dtype) for item in known.inputs]
    return paddle.io.DataLoader(
        Batches(),
        feed_list=variables,
        places=[paddle.CPUPlace()],
        batch_size=None,
        num_workers=0,
        return_list=False,
    )


def _quantized_ops(quantized: Any) -> dict[str, int]:
    """Operators with quantized weights, by type; whatever reads one's output also reads a dequantized tensor."""
    block = quantized.global_block()
    dequantized = {
        op.output("Y")[0]
        for op in block.ops
        if op.type == "dequantize_linear" and block.var(op.input("X")[0]).persistable
    }
    counts: dict[str, int] = {}
    for op in block.ops:
        if op.type != "dequantize_linear" and dequantized & set(op.input_arg_names):
            counts[op.type] = counts.get(op.type, 0) + 1
    return counts
