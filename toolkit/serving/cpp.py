"""Paddle Serving's C++ server: its arguments, and the one binary that may be started.

The stock command (paddle_serving_server 0.9.0, server.py, run_server) downloads a binary, without checking it, unless
SERVING_BIN names one; so nothing is started here before that variable names a file with the digest of the spec.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Optional

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from typing_extensions import Literal

from toolkit.errors import ServiceError, TemplateError
from toolkit.store import digest

FILE = "cpp.yml"
VARIABLE = "SERVING_BIN"
HEALTH_PATH = "/health"
PREDICT_PATH = "/GeneralModelService/inference"

# It is put into a command for a shell as it is.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_./+@=-]+")


class Arguments(BaseModel):
    """Arguments of the stock command, under its own names (serve.py, `serve_args`)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    model: str
    thread: int = Field(ge=4, le=1024)
    cpu_math_thread_num: int = Field(ge=1)
    precision: Literal["fp32"]
    max_body_size: int = Field(ge=64 << 20)
    ir_optim: bool
    use_mkl: bool = False
    use_lite: bool = False
    use_xpu: bool = False
    gpu_ids: Optional[str] = None

    def words(self) -> list[str]:
        """As the command line has them."""
        found: list[str] = []
        for name, value in self.model_dump().items():
            if value is True:
                found.append(f"--{name}")
            elif value not in (None, False):
                found += [f"--{name}", str(value)]
        return found


class Server(BaseModel):
    """The content of `cpp.yml`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    binary_sha256: str
    arguments: Arguments

    def command(self, python: str, port: int) -> list[str]:
        """The command that serves on `port`; relative paths in it are the release's."""
        return [
            python,
            "-m",
            "paddle_serving_server.serve",
            *self.arguments.words(),
            "--port",
            str(port),
        ]


def read(directory: Path) -> Optional[Server]:
    """How the C++ server serves the release in `directory`; None: the Python pipeline does.

    Raises:
        TemplateError: the file is wrong.
    """
    path = directory / FILE
    try:
        return Server.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise TemplateError(f"the arguments of the C++ server are wrong: {error}", where=str(path)) from error


def binary(sha256: str, environ: Mapping[str, str] = os.environ) -> Path:
    """The binary that SERVING_BIN names.

    Args:
        sha256: what it has to be, in hex.

    Raises:
        ServiceError: it names none, or another.
    """
    named = environ.get(VARIABLE)
    if not named:
        raise ServiceError(
            f"the C++ server needs its binary, and {VARIABLE} names none; nothing is downloaded",
            remedy=f"build `serving` of Paddle Serving 0.9.0, or take it from its archive of binaries, and set "
            f"{VARIABLE} to its path and `cpp.binary_sha256` to what sha256sum says of it; or leave `cpp` out",
        )
    path = Path(named)
    if not path.is_absolute() or _PLAIN_PATH.fullmatch(named) is None:
        raise _refused(named, "is no absolute path of letters, digits and _./+@=- alone, and a shell gets it")
    if not path.is_file():
        raise _refused(named, "is not a file")
    if not os.access(path, os.X_OK):
        raise _refused(named, "may not be executed; chmod +x")
    found = digest.of_file(path)
    if found != sha256:
        raise _refused(named, f"is another binary: its SHA-256 is {found}, `cpp.binary_sha256` says {sha256}")
    return path


def _refused(named: str, why: str) -> ServiceError:
    return ServiceError(
        f"the binary of the C++ server {why}",
        where=f"{VARIABLE}={named}",
        remedy="name the binary that the spec was written for; or, if this one is right, correct the spec",
    )
