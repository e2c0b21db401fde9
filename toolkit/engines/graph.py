"""A static program and its weights in plain memory, to be looked at and rewritten without running anything.

Operators are Paddle's own `OpDesc` messages, in program order; only the first block is rewritten, and what the blocks
inside it (of loops and branches) use counts as used.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

import numpy as np

from toolkit.engines import model
from toolkit.engines import weights as weights_file
from toolkit.engines.files import ModelFiles
from toolkit.engines.weights import Weights
from toolkit.errors import ModelError

# An operator: paddle.base.proto.framework_pb2.OpDesc, which has no types.
Op = Any

# What a program carries for those who debug its making; call stacks alone are most of its size.
_DEBUG_ATTRIBUTES = ("op_callstack", "op_namescope", "op_role", "op_role_var", "op_device", "with_quant_attr")


@dataclass
class Graph:
    """A program that may be changed.

    Attributes:
        description: the `ProgramDesc`; its first block's operators are in `ops` as long as the graph is in work.
        ops: operators of the first block, each after those whose outputs it reads.
        weights: the parameters by name.
    """

    description: Any
    ops: list[Op]
    weights: Weights = field(repr=False)

    @property
    def inputs(self) -> list[str]:
        """Names of the tensors that are fed, in order."""
        feeds = [op for op in self.ops if op.type == "feed"]
        return [output(op, "Out") for op in sorted(feeds, key=lambda op: int(attribute(op, "col", 0)))]

    @property
    def outputs(self) -> list[str]:
        """Names of the tensors that are fetched, in order."""
        fetches = [op for op in self.ops if op.type == "fetch"]
        return [input_(op, "X") for op in sorted(fetches, key=lambda op: int(attribute(op, "col", 0)))]

    def variable(self, name: str) -> Any:
        """The `VarDesc` of the tensor `name`.

        Raises:
            KeyError: there is none.
        """
        for item in self.description.blocks[0].vars:
            if item.name == name:
                return item
        raise KeyError(name)

    def shape(self, name: str) -> tuple[int, ...]:
        """Declared shape of the tensor `name`; -1 for a dynamic dimension."""
        return tuple(self.variable(name).type.lod_tensor.tensor.dims)

    def producer(self, name: str) -> Optional[Op]:
        """The operator that writes `name`; None for an input or a parameter."""
        return next((op for op in self.ops if name in written(op)), None)

    def writers(self, name: str) -> list[Op]:
        """The operators of the first block that write `name`; several where a program assigns to it again."""
        return [op for op in self.ops if name in written(op)]

    def consumers(self, name: str) -> list[Op]:
        """The operators of the first block that read `name`, `fetch` among them."""
        return [op for op in self.ops if name in read_by(op)]

    def used_inside(self) -> set[str]:
        """Names that blocks of loops and branches use; a rewrite leaves them alone."""
        return {
            name
            for block in self.description.blocks[1:]
            for op in block.ops
            for name in (*read_by(op), *written(op))
        }

    def is_private(self, name: str) -> bool:
        """Whether exactly one operator of the first block reads `name`, and nothing else does."""
        readers = self.consumers(name)
        return len(readers) == 1 and readers[0].type != "fetch" and name not in self.used_inside()

    def fresh_name(self, wanted: str) -> str:
        """A name that no tensor has: `wanted`, or that with a number."""
        taken = {item.name for block in self.description.blocks for item in block.vars}
        candidates = (f"{wanted}_{number}" if number else wanted for number in itertools.count())
        return next(name for name in candidates if name not in taken)

    def add_variable(self, name: str, like: str) -> str:
        """Declare a tensor with the type and shape of another."""
        variable = self.description.blocks[0].vars.add()
        variable.CopyFrom(self.variable(like))
        variable.name, variable.persistable = name, False
        return name

    def add_weight(self, name: str, array: np.ndarray[Any, Any]) -> str:
        """Add a parameter, or give one other values."""
        try:
            variable = self.variable(name)
        except KeyError:
            variable = self.description.blocks[0].vars.add()
            variable.name = name
        variable.persistable = True
        variable.type.type = _lod_tensor()
        tensor = variable.type.lod_tensor.tensor
        tensor.data_type = weights_file.data_type(array.dtype)
        tensor.dims[:] = array.shape
        self.weights[name] = array
        return name

    def insert_after(self, op: Op, new: Op) -> None:
        """Put `new` right behind `op`."""
        self.ops.insert(self._position(op) + 1, new)

    def insert_before(self, op: Op, new: Op) -> None:
        """Put `new` right before `op`."""
        self.ops.insert(self._position(op), new)

    def remove(self, op: Op) -> None:
        """Take `op` out; its outputs stay declared until `prune`."""
        del self.ops[self._position(op)]

    def _position(self, op: Op) -> int:
        return next(index for index, item in enumerate(self.ops) if item is op)

    def redirect(self, old: str, new: str) -> None:
        """Let all that read `old` read `new`."""
        for op in self.ops:
            rename_inputs(op, {old: new})

    def prune(self) -> None:
        """Remove operators that no output needs, then tensors and parameters that no operator names."""
        needed = set(self.outputs) | self.used_inside()
        kept = []
        for op in reversed(self.ops):
            if op.type in ("feed", "fetch") or needed & set(written(op)) or _has_block(op):
                kept.append(op)
                needed |= set(read_by(op))
        self.ops = kept[::-1]
        used = needed | {name for op in self.ops for name in (*read_by(op), *written(op))}
        block = self.description.blocks[0]
        variables = [item for item in block.vars if item.name in used]
        del block.vars[:]
        block.vars.extend(variables)
        self.weights = {name: array for name, array in self.weights.items() if name in used}

    def add_outputs(self, names: Sequence[str]) -> None:
        """Let the program also give the tensors `names`, after its own outputs."""
        for name in names:
            column = len(self.outputs)
            self.ops.append(make_op("fetch", {"X": [name]}, {"Out": ["fetch"]}, {"col": column}))

    def copy(self) -> Graph:
        """A graph that can be changed apart from this one; arrays are shared: replace them, never write into them."""
        description = type(self.description).FromString(self.description.SerializeToString())
        return Graph(description, [_copied(op) for op in self.ops], dict(self.weights))

    def write(self, directory: Path, *, with_debug: bool = False) -> None:
        """Write `model.pdmodel` and `model.pdiparams`.

        Args:
            with_debug: keep call stacks and other attributes that nothing reads when the program runs.
        """
        description = type(self.description).FromString(self.description.SerializeToString())
        block = description.blocks[0]
        del block.ops[:]
        block.ops.extend(self.ops)
        if not with_debug:
            for op in (op for item in description.blocks for op in item.ops):
                _strip(op)
        files = model.files_in(directory)
        files.model.write_bytes(description.SerializeToString(deterministic=True))
        weights_file.write(files.params, self.weights)


def read(files: ModelFiles) -> Graph:
    """The model in `files`.

    Raises:
        ModelError: the program or its weights are damaged or truncated.
    """
    from paddle.base.proto import framework_pb2

    try:
        description = framework_pb2.ProgramDesc.FromString(files.model.read_bytes())
        block = description.blocks[0]
    except Exception as error:
        raise ModelError(
            "the program file is damaged or truncated, or it is no Paddle program",
            where=str(files.model),
            remedy="copy or export it again",
        ) from error
    names = [item.name for item in block.vars if item.persistable and item.name not in ("feed", "fetch")]
    ops = [_copied(op) for op in block.ops]
    return Graph(description, ops, weights_file.read(files.params, names))


def make_op(
    kind: str,
    inputs: Mapping[str, Sequence[str]],
    outputs: Mapping[str, Sequence[str]],
    attributes: Mapping[str, Any],
) -> Op:
    """A new operator. Attributes are typed by their Python values (float is float32; see `set_attribute`)."""
    from paddle.base.proto import framework_pb2

    op = framework_pb2.OpDesc(type=kind)
    for slots, given in ((op.inputs, inputs), (op.outputs, outputs)):
        for parameter, arguments in given.items():
            slots.add(parameter=parameter, arguments=list(arguments))
    for name, value in attributes.items():
        set_attribute(op, name, value)
    return op


def input_(op: Op, slot: str) -> str:
    """The one tensor in the input slot `slot`; empty where there is none."""
    return _argument(op.inputs, slot)


def output(op: Op, slot: str) -> str:
    """The one tensor in the output slot `slot`; empty where there is none."""
    return _argument(op.outputs, slot)


def read_by(op: Op) -> list[str]:
    """All tensors that `op` reads."""
    return [name for slot in op.inputs for name in slot.arguments]


def written(op: Op) -> list[str]:
    """All tensors that `op` writes."""
    return [name for slot in op.outputs for name in slot.arguments]


def rename_inputs(op: Op, names: Mapping[str, str]) -> None:
    """Let `op` read other tensors."""
    for slot in op.inputs:
        slot.arguments[:] = [names.get(name, name) for name in slot.arguments]


def rename_outputs(op: Op, names: Mapping[str, str]) -> None:
    """Let `op` write other tensors."""
    for slot in op.outputs:
        slot.arguments[:] = [names.get(name, name) for name in slot.arguments]


def attribute(op: Op, name: str, default: Any = None) -> Any:
    """The value of an attribute, lists as lists; `default` where it is not set."""
    from paddle.base.proto import framework_pb2

    for item in op.attrs:
        if item.name == name:
            kind = framework_pb2.AttrType.Name(item.type)
            value: Any = getattr(item, _FIELDS[kind]) if kind in _FIELDS else None
            return list(value) if kind in _LISTS else value
    return default


def set_attribute(op: Op, name: str, value: Any) -> None:
    """Set an attribute: bool, int, float, str, or a list of int, float or str; one that is there keeps its type."""
    from paddle.base.proto import framework_pb2

    item = next((item for item in op.attrs if item.name == name), None)
    if item is None:
        item = op.attrs.add(name=name, type=framework_pb2.AttrType.Value(_kind_of(value)))
    field_name = _FIELDS[framework_pb2.AttrType.Name(item.type)]
    if isinstance(value, (list, tuple)):
        getattr(item, field_name)[:] = value
    else:
        setattr(item, field_name, value)


_FIELDS = {
    "INT": "i", "FLOAT": "f", "STRING": "s", "INTS": "ints", "FLOATS": "floats", "STRINGS": "strings", "BOOLEAN": "b",
    "BOOLEANS": "bools", "LONG": "l", "LONGS": "longs", "FLOAT64": "float64", "FLOAT64S": "float64s",
}  # fmt: skip
_LISTS = ("INTS", "FLOATS", "STRINGS", "BOOLEANS", "LONGS", "FLOAT64S")


def _kind_of(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return _kind_of(value[0]) + "S" if value else "INTS"
    kinds = ((bool, "BOOLEAN"), (int, "INT"), (float, "FLOAT"), (str, "STRING"))
    return next(kind for python, kind in kinds if isinstance(value, python))


def _argument(slots: Iterable[Any], name: str) -> str:
    for slot in slots:
        if slot.parameter == name and slot.arguments:
            return str(slot.arguments[0])
    return ""


def _has_block(op: Op) -> bool:
    from paddle.base.proto import framework_pb2

    kinds = (framework_pb2.AttrType.Value("BLOCK"), framework_pb2.AttrType.Value("BLOCKS"))
    return any(item.type in kinds for item in op.attrs)


def _copied(op: Op) -> Op:
    return type(op).FromString(op.SerializeToString())


def _strip(op: Op) -> None:
    kept = [item for item in op.attrs if item.name not in _DEBUG_ATTRIBUTES]
    if len(kept) < len(op.attrs):
        del op.attrs[:]
        op.attrs.extend(kept)


def _lod_tensor() -> int:
    from paddle.base.proto import framework_pb2

    return int(framework_pb2.VarType.Type.Value("LOD_TENSOR"))
