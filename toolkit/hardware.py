"""The kinds of hardware that a pipeline may be built for, and what this machine lacks to run it.

Numbers and precisions are those of Paddle Serving 0.9.0: `device_type` in
paddle_serving_server/pipeline/local_service_handler.py, what becomes of them in paddle_serving_app/local_predict.py.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Optional

from packaging.utils import canonicalize_name
from typing_extensions import Literal

from toolkit.errors import ServiceError

TargetName = Literal["x86-cpu", "arm-cpu", "nvidia-gpu", "nvidia-tensorrt", "kunlun-xpu"]
DEFAULT = "x86-cpu"


@dataclass(frozen=True)
class Hardware:
    """
    Attributes:
        name: as `target` in the spec says it.
        device_type: Paddle Serving's number.
        precisions: that it may run in, the default first; empty: the tournament decides.
        machines: names of its processors, as `uname -m` has them.
        packages: what is installed in the place of a package of the lock; None: nothing, the base image has it.
        nodes: names in /dev that its driver makes, {} for the number of a device; the first tells that it is there.
        resource: name in Kubernetes of one device; empty: it needs none.
        base: what an image of the service begins with, for people.
        adds_python: whether Python 3.9 has to be added to that.
        verified: whether a service has ever run on it.
    """

    name: str
    device_type: int
    precisions: tuple[str, ...]
    machines: tuple[str, ...]
    base: str
    packages: Mapping[str, Optional[str]] = field(default_factory=dict)
    nodes: tuple[str, ...] = ()
    resource: str = ""
    adds_python: bool = False
    verified: bool = False

    @property
    def is_default(self) -> bool:
        """Whether the toolkit's own predictor serves on it; on the others, Paddle Serving's does."""
        return self.name == DEFAULT

    def paths(self, number: int, devices: Path = Path("/dev")) -> list[Path]:
        """The files of a device."""
        return [devices / name.format(number) for name in self.nodes]

    def missing(
        self,
        machine: Optional[str] = None,
        installed: Optional[Set[str]] = None,
        devices: Path = Path("/dev"),
    ) -> list[str]:
        """What this machine lacks of it, in words; empty: nothing that could be seen.

        Args:
            machine: name of the processor; None: of this one.
            installed: canonical names of packages; None: those of this environment.
        """
        machine = machine or platform.machine()
        found = []
        if machine not in self.machines:
            found.append(f"the processor is {machine}, not {' or '.join(self.machines)}")
        for node in self.paths(0, devices)[:1]:
            if not node.exists():
                found.append(f"no driver: {node} is not there")
        wanted = [name for name in self.packages.values() if name is not None]
        if wanted and installed is None:
            installed = _installed()
        found += [f"the package {name} is not installed" for name in wanted if name not in (installed or ())]
        return found

    def require(self) -> None:
        """
        Raises:
            ServiceError: this machine cannot run it; the message says what is missing.
        """
        found = self.missing()
        if found:
            raise ServiceError(
                f"this machine cannot run the target {self.name}: {'; '.join(found)}",
                remedy="`make render` and `make targets` work here; start it where nothing of that is missing, beside "
                f"{self.base}; or leave `target` out of pipeline.yml to serve here",
            )


def _installed() -> Set[str]:
    return {canonicalize_name(item.metadata["Name"]) for item in metadata.distributions()}


_X86, _ARM = ("x86_64",), ("aarch64",)

# PyPI's paddlepaddle-gpu 2.6.2 is built with CUDA 11.8 and cuDNN 8.6 (paddle/version/__init__.py in it), and with
# TensorRT, whose library it looks for when it runs. Of paddle-serving-server, the packages for other hardware hold the
# same Python, and tell it another binary of the C++ server.
_NVIDIA_PACKAGES = {
    "paddlepaddle": "paddlepaddle-gpu",
    "paddle-serving-server": "paddle-serving-server-gpu",
}
_NVIDIA_NODES = ("nvidia{}", "nvidiactl", "nvidia-uvm")
_CUDA = "CUDA 11.8 and cuDNN 8.6"

HARDWARE: Mapping[str, Hardware] = {
    item.name: item
    for item in (
        Hardware(DEFAULT, 0, (), _X86, "Python 3.9 on Debian", verified=True),
        # With PyPI's Paddle, which has no Paddle Lite, number 3 only warns, and runs in Paddle's own kernels.
        Hardware("arm-cpu", 3, ("fp32",), _ARM, "Python 3.9 on Debian for arm64"),
        Hardware(
            "nvidia-gpu",
            1,
            ("fp16", "fp32"),
            _X86,
            f"{_CUDA}: docker.io/nvidia/cuda:11.8.0-cudnn8-runtime-ubuntu22.04",
            _NVIDIA_PACKAGES,
            _NVIDIA_NODES,
            "nvidia.com/gpu",
            adds_python=True,
        ),
        Hardware(
            "nvidia-tensorrt",
            2,
            ("fp16", "fp32", "int8"),
            _X86,
            f"{_CUDA}, TensorRT 8.5: nvcr.io/nvidia/tensorrt:22.12-py3",
            _NVIDIA_PACKAGES,
            _NVIDIA_NODES,
            "nvidia.com/gpu",
            adds_python=True,
        ),
        Hardware(
            "kunlun-xpu",
            4,
            ("fp32",),
            (*_X86, *_ARM),
            "Python 3.9, and a Paddle 2.6 built with XPU and Paddle Lite, since PyPI has none",
            {"paddlepaddle": None, "paddle-serving-server": "paddle-serving-server-xpu"},
            ("xpu{}", "xpuctrl"),
            "kunlunxin.com/xpu",
        ),
    )
}
