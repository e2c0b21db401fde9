"""Reading a static program and its weights file, without running them.

The weights file is a row of tensors in the order of their sorted names, each with its own header. Comparing the
headers with the program finds a truncated file, or weights of another model, before Paddle loads them: Paddle
itself may crash, or load them in silence.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from toolkit.engines import weights
from toolkit.engines.files import ModelFiles
from toolkit.engines.signature import Signature, Tensor
from toolkit.errors import ModelError

# Operators that select rows by comparing values: by type, the input slots that hold what is selected from.
SELECTING = {
    "multiclass_nms": ("BBoxes", "Scores"),
    "multiclass_nms2": ("BBoxes", "Scores"),
    "multiclass_nms3": ("BBoxes", "Scores"),
    "matrix_nms": ("BBoxes", "Scores"),
}


def read(path: Path) -> Any:
    """The `paddle.static.Program` in the file `path`.

    Raises:
        ModelError: the file is not a program, or it is truncated.
    """
    import paddle

    paddle.enable_static()
    try:
        program = paddle.static.deserialize_program(path.read_bytes())
    except Exception as error:
        raise ModelError(
            "the program file is damaged or truncated, or it is no Paddle program",
            where=str(path),
            remedy="copy or export it again",
        ) from error
    if not any(op.type == "fetch" for op in program.global_block().ops):
        raise ModelError(
            "the program has no outputs, so it is no inference model",
            where=str(path),
            remedy="export it with paddle.jit.save or paddle.static.save_inference_model",
        )
    return program


def signature(program: Any) -> Signature:
    """Inputs and outputs of `program`; what it selects has a dynamic number of rows, whatever it declares."""
    block = program.global_block()
    selected = {name for op in block.ops if op.type in SELECTING for name in op.output_arg_names}
    feeds = sorted((op for op in block.ops if op.type == "feed"), key=lambda op: op.attr("col"))
    fetches = sorted((op for op in block.ops if op.type == "fetch"), key=lambda op: op.attr("col"))
    return Signature(
        tuple(_tensor(block.var(op.output("Out")[0])) for op in feeds),
        tuple(_tensor(block.var(op.input("X")[0]), selected) for op in fetches),
    )


def _tensor(variable: Any, selected: Collection[str] = ()) -> Tensor:
    shape = tuple(int(n) for n in variable.shape)
    if variable.name in selected:
        shape = (-1, *shape[1:])
    return Tensor(variable.name, _dtype_name(variable.dtype), shape, variable.lod_level)


def _dtype_name(dtype: Any) -> str:
    from paddle.base.data_feeder import convert_dtype

    return str(convert_dtype(dtype))


def rename(path: Path, names: Mapping[str, str]) -> None:
    """Rename tensors of the program in the file `path`, in every block; another of the new name makes way.

    So a model has the same names after each export, and Paddle Serving's own LocalPredictor can feed it: that one
    looks an input up by the program's name in a table made by alias (paddle-serving-app 0.9.0).

    Raises:
        ModelError: a new name is already that of a parameter.
    """
    from paddle.base.proto import framework_pb2

    description = framework_pb2.ProgramDesc.FromString(path.read_bytes())
    variables = {variable.name: variable for block in description.blocks for variable in block.vars}
    changes = {old: new for old, new in names.items() if old != new}
    for new in set(changes.values()) - set(changes):
        if new in variables:
            _refuse_parameter(variables[new], path)
            changes[new] = f"{new}@inner"
    for block in description.blocks:
        _rename_block(block, changes)
    path.write_bytes(description.SerializeToString())


def _refuse_parameter(variable: Any, path: Path) -> None:
    """The weights file has no names, only their order: a parameter cannot be renamed."""
    if variable.persistable:
        raise ModelError(
            f"the name {variable.name!r} is already that of a parameter of the program",
            where=str(path),
            remedy="choose another name under `inputs:` or `outputs:` of the model in the pipeline spec",
        )


def _rename_block(block: Any, names: Mapping[str, str]) -> None:
    for variable in block.vars:
        variable.name = names.get(variable.name, variable.name)
    for op in block.ops:
        for slot in (*op.inputs, *op.outputs):
            slot.arguments[:] = [names.get(argument, argument) for argument in slot.arguments]


def check_weights(program: Any, files: ModelFiles) -> None:
    """Compare every tensor of the weights file with the parameter of the program that it will be.

    Raises:
        ModelError: the file is truncated, or a tensor's shape is not the parameter's; names the parameter.
    """
    wanted = _parameters(program)
    with files.params.open("rb") as file:
        for name, found in weights.shapes(file, files.params, list(wanted)):
            if found != wanted[name]:
                raise _misfit(
                    files, f"{name} is {list(wanted[name])} in the program and {list(found)} in the weights"
                )
        if file.read(1):
            raise _misfit(files, f"the weights hold more than the {len(wanted)} parameters of the program")


def gather(program: Any, folder: Path, target: Path) -> None:
    """Write the weights that lie in `folder`, each in a file of its name, into one file: a row of the same tensors.

    Raises:
        ModelError: one is missing.
    """
    with target.open("wb") as file:
        for name in sorted(_parameters(program)):
            path = folder / name
            if not path.is_file():
                raise ModelError(
                    f"the weights of {name} are missing: neither one file has all, nor one of that name these",
                    where=str(folder),
                    remedy="copy the whole folder of the model",
                )
            file.write(path.read_bytes())


def sequences(path: Path) -> frozenset[str]:
    """The inputs of the program in the file `path` that have a level of detail: rows that are parts of sequences."""
    from paddle.base.proto import framework_pb2

    block = framework_pb2.ProgramDesc.FromString(path.read_bytes()).blocks[0]
    fed = {op.outputs[0].arguments[0] for op in block.ops if op.type == "feed"}
    return frozenset(item.name for item in block.vars if item.name in fed and item.type.lod_tensor.lod_level)


def _parameters(program: Any) -> dict[str, tuple[int, ...]]:
    return {
        variable.name: tuple(variable.shape)
        for variable in program.list_vars()
        if variable.persistable and variable.name not in ("feed", "fetch")
    }


def _misfit(files: ModelFiles, what: str) -> ModelError:
    return ModelError(
        f"the weights do not fit the program: {what}",
        where=str(files.params),
        remedy=f"use the weights that were exported together with {files.model.name}",
    )
