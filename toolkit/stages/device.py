"""How the device of the spec's `target` runs the models: the part of a release that is not for x86-cpu."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from toolkit.hardware import HARDWARE
from toolkit.spec import PipelineSpec
from toolkit.stages import ranges
from toolkit.stages.context import Context

TENSORRT = HARDWARE["nvidia-tensorrt"]


@dataclass(frozen=True)
class Device:
    """
    Attributes:
        target: name of the hardware.
        services: by model, the keys of Paddle Serving's `local_service_conf`.
        shapes: by model, the ranges of its feeds; empty where the device asks for none.
    """

    target: str
    services: Mapping[str, Mapping[str, Any]]
    shapes: Mapping[str, Mapping[str, Any]]


def of(context: Context, judged: Mapping[str, str]) -> Optional[Device]:
    """How the models of a release run; None: in the toolkit's own predictor, on this kind of processor.

    Args:
        judged: by model, the precision of what lies in the release.
    """
    spec = context.spec
    if spec.hardware.is_default:
        return None
    services = {name: {**_service(spec), "precision": _precision(spec, judged[name])} for name in spec.steps}
    needed = spec.steps if spec.hardware == TENSORRT else ()
    return Device(spec.target, services, {name: _ranges(context, name) for name in needed})


def _service(spec: PipelineSpec) -> dict[str, Any]:
    return {
        "device_type": spec.hardware.device_type,
        "devices": str(spec.device.id) if spec.hardware.resource else "",
        "precision": "",
        "thread_num": spec.serving.threads,
        "ir_optim": True,
        "mem_optim": True,
        "use_calib": False,
        "min_subgraph_size": spec.device.min_subgraph_size,
    }


def _precision(spec: PipelineSpec, judged: str) -> str:
    """INT8 needs the scales of a model that was quantized: one that was not, or a spare, runs in FP32."""
    wanted = spec.device_precision
    return "fp32" if wanted == "int8" and judged != "int8" else wanted


def _ranges(context: Context, name: str) -> Mapping[str, Any]:
    found = ranges.run(context, name).info
    return {key: found[key] for key in (ranges.MIN, ranges.OPT, ranges.MAX)}


def ingredients(context: Context) -> dict[str, Any]:
    """What a release's key has of it; nothing where there is nothing, as before there were devices."""
    spec = context.spec
    found: dict[str, Any] = {}
    if not spec.hardware.is_default:
        found["device"] = [spec.target, spec.device.model_dump(mode="json")]
    if spec.hardware == TENSORRT:
        found["ranges"] = {name: ranges.run(context, name).key for name in spec.steps}
    if spec.cpp is not None:
        found["cpp"] = spec.cpp.model_dump(mode="json")
    return found


def noted(spec: PipelineSpec, result: Mapping[str, Any]) -> Mapping[str, Any]:
    """The content of an evaluation, which is one of this processor, with what it cannot say of the device."""
    if spec.hardware.is_default:
        return result
    limit = (
        f"it was judged on an x86 processor, in {spec.judged_in}: how accurate and fast {spec.target} is in "
        f"{spec.device_precision} is not verified"
    )
    limits = [*result["data"].get("limits", ()), limit]
    return {**result, "data": {**result["data"], "limits": limits}}
