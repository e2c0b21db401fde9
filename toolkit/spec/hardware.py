"""What a pipeline is built for: `target`, `device` and `cpp` in the spec."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

from pydantic import Field
from typing_extensions import Literal

from toolkit.hardware import Hardware
from toolkit.spec.section import Section


class DeviceSpec(Section):
    """How the device of `target` runs the models; not for x86-cpu."""

    precision: Optional[Literal["fp32", "fp16", "int8"]] = Field(
        default=None,
        description="that it runs in; default: fp16 on NVIDIA's, fp32 on the others. int8 is for nvidia-tensorrt",
    )
    id: int = Field(
        default=0, ge=0, description="which of the machine's devices; in a container the first is 0"
    )
    min_subgraph_size: int = Field(
        default=3, ge=1, description="operators in a row from which on TensorRT takes them over"
    )


class CppSpec(Section):
    """Paddle Serving's C++ server in the place of the Python pipeline: one model, tensors in and out, in FP32."""

    binary_sha256: str = Field(
        pattern=r"^[0-9a-f]{64}$",
        description="of the file that the environment variable SERVING_BIN names: no other is started",
    )
    thread: int = Field(default=4, ge=4, le=1024, description="threads of the server")
    cpu_math_thread_num: int = Field(default=1, ge=1, description="threads of one inference")


def judged_in(target: Hardware, device: DeviceSpec, cpp: Optional[CppSpec]) -> Optional[str]:
    """The only precision that models are judged in here; None: those of `candidates`.

    What the device does with FP32 models, in FP32 or FP16, nobody can measure here: golden answers and figures are
    those of native FP32. INT8 is that of oneDNN, with the very scales that the device gets.
    """
    if target.is_default and cpp is None:
        return None
    return "int8" if device.precision == "int8" else "fp32"


def precision_on(target: Hardware, device: DeviceSpec) -> str:
    """The precision that the device runs in."""
    return device.precision or target.precisions[0]


def problem(
    target: Hardware,
    device: DeviceSpec,
    cpp: Optional[CppSpec],
    steps: Sequence[str],
    engines: Sequence[str],
    levels: Sequence[str],
) -> str:
    """Which of these does not go with the others; empty: none."""
    if cpp is not None:
        if len(steps) > 1:
            return f"cpp: the C++ server hands tensors from model to model, so it takes one step, not {len(steps)}"
        if set(engines) != {"paddle"}:
            return "engines: the C++ server runs models in paddle alone"
        if target.name == "nvidia-tensorrt":
            return "cpp: its command takes no shape ranges, which nvidia-tensorrt needs; take `target: nvidia-gpu`"
        if device.precision not in (None, "fp32"):
            return (
                f"device.precision: the C++ server runs models in fp32 on {target.name}, whatever it is told"
            )
    if target.is_default:
        return "device: it is for a `target` other than x86-cpu" if device != DeviceSpec() else ""
    if device.precision is not None and device.precision not in target.precisions:
        return f"device.precision: {target.name} takes {', '.join(target.precisions)}, not {device.precision}"
    if set(engines) != {"paddle"}:
        return f"engines: {target.name} runs in paddle alone"
    if levels:
        return f"gate.levels: they are of x86 processors; leave them out for {target.name}"
    return ""
