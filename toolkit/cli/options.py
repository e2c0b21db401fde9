"""The options that commands share, and the objects that they make of them."""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import click

from toolkit import spec
from toolkit.bundle import version
from toolkit.console import Console
from toolkit.doctor import GRPC_PORT, HOST, HTTP_PORT
from toolkit.errors import SpecError
from toolkit.spec import PipelineSpec
from toolkit.stages.context import Context
from toolkit.supervisor.settings import Settings


class Duration(click.ParamType):
    """A time in seconds, minutes or hours: `90`, `90s`, `5m`, `1.5h`."""

    name = "duration"

    def convert(self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]) -> float:
        """Seconds."""
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", str(value).strip())
        if found is None:
            self.fail(f"{value!r} is no time; write 90s, 5m or 1h", param, ctx)
        return float(found.group(1)) * {"": 1, "s": 1, "m": 60, "h": 3600}[found.group(2)]


class Version(click.ParamType):
    """A semantic version."""

    name = "version"

    def convert(self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]) -> str:
        """The version as it was given."""
        if not version.is_semantic(str(value)):
            self.fail(f"{value!r} is no semantic version; write 1.4.0 or 1.4.0-rc.1", param, ctx)
        return str(value)


PIPELINES = Path(__file__).resolve().parents[2] / "pipelines"

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for programs.")
dist_option = click.option(
    "--dist",
    type=click.Path(path_type=Path),
    default=Path("dist"),
    show_default=True,
    help="Directory of releases.",
)
key_option = click.option(
    "--key",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    envvar="TOOLKIT_RELEASE_KEY",
    help="Key of releases (PEM, Ed25519): private to sign with, either to verify with.",
)
strict_option = click.option(
    "--strict", is_flag=True, help="Release only what is proven to pass; see `toolkit evaluate`."
)

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Your data: a folder of images, or one with calibration.txt and validation.txt; README.md has the formats.",
)

_MODEL = [
    click.option("--model", default="ocr", show_default=True, help="Pipeline: a folder of --pipelines."),
    click.option(
        "--pipelines",
        type=click.Path(path_type=Path),
        default=PIPELINES,
        envvar="TOOLKIT_PIPELINES",
        help="Folder of pipelines; default: that of this checkout.",
    ),
    click.option(
        "--build",
        type=click.Path(path_type=Path),
        default=Path("build"),
        show_default=True,
        help="Directory of everything that is built.",
    ),
    click.option("-v", "--verbose", is_flag=True, help="Say in detail what is done."),
    json_option,
]
precision_option = click.option(
    "--precision",
    type=click.Choice(["int8", "bf16", "fp32"]),
    help="Serve only this; int8 and bf16 fail if they do not pass the gate, fp32 is native then.",
)
_STAGE = [
    *_MODEL,
    data_option,
    precision_option,
    click.option(
        "--budget",
        type=Duration(),
        help="Time for the search for INT8 candidates: 90s, 5m, 1h; default: that of the spec.",
    ),
]
_PORTS = [
    click.option(
        "--host", default=HOST, show_default=True, help="Address to listen on; 0.0.0.0 opens it to others."
    ),
    click.option("--http-port", type=click.IntRange(1, 65535), default=HTTP_PORT, show_default=True),
    click.option("--grpc-port", type=click.IntRange(1, 65535), default=GRPC_PORT, show_default=True),
]
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False, resolve_path=True)
_SERVICE = [
    *_PORTS,
    click.option(
        "--replicas", type=click.IntRange(1), help="Replica processes; default: the spec's, or by cores."
    ),
    click.option(
        "--api-keys",
        type=_FILE,
        help="File of API keys, one a line, that clients must have one of; or put them into TOOLKIT_API_KEYS.",
    ),
    click.option("--tls-cert", type=_FILE, help="Certificate chain (PEM): both ports speak TLS then."),
    click.option("--tls-key", type=_FILE, help="Its private key (PEM)."),
    click.option(
        "--tls-client-ca", type=_FILE, help="Clients must have a certificate of this authority (PEM)."
    ),
]

Command = Callable[..., Any]


def _apply(options: Sequence[Callable[[Command], Command]], command: Command) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


def model_options(command: Command) -> Command:
    """For commands about a running service."""
    return _apply(_MODEL, command)


def stage_options(command: Command) -> Command:
    """For commands that build."""
    return _apply(_STAGE, command)


def port_options(command: Command) -> Command:
    """For commands that look at the ports of the service."""
    return _apply(_PORTS, command)


def service_options(command: Command) -> Command:
    """For commands that start the service; `settings_of` takes them."""
    return _apply(_SERVICE, command)


def take_settings(options: dict[str, Any]) -> Settings:
    """How the service is to run; takes what `service_options` gave out of `options`."""
    return settings_of(**{name: options.pop(name) for name in inspect.signature(settings_of).parameters})


def settings_of(
    host: str,
    http_port: int,
    grpc_port: int,
    replicas: Optional[int],
    api_keys: Optional[Path],
    tls_cert: Optional[Path],
    tls_key: Optional[Path],
    tls_client_ca: Optional[Path],
) -> Settings:
    """How the service is to run.

    Raises:
        click.UsageError: TLS by halves.
    """
    if (tls_cert is None) != (tls_key is None):
        raise click.UsageError("--tls-cert and --tls-key go together")
    if tls_client_ca is not None and tls_cert is None:
        raise click.UsageError("--tls-client-ca needs --tls-cert and --tls-key")
    files = [str(path) if path is not None else None for path in (api_keys, tls_cert, tls_key, tls_client_ca)]
    return Settings(host, http_port, grpc_port, replicas, *files)


# By the option that sets it.
_SETTING_OF = {"api_keys": "keys_file"}


def settings_given(settings: Settings, recorded: Settings, names: Collection[str]) -> Settings:
    """As recorded, but for what the options `names` say, which `settings` is of."""
    fields = (_SETTING_OF.get(name, name) for name in names)
    return replace(recorded, **{name: getattr(settings, name) for name in fields if hasattr(settings, name)})


def context_of(
    model: str,
    pipelines: Path,
    build: Path,
    verbose: bool,
    as_json: bool,
    data: Optional[Path] = None,
    precision: Optional[str] = None,
    budget: Optional[float] = None,
) -> Context:
    """The run that the options describe.

    Raises:
        SpecError: there is no such pipeline, its spec is wrong, or leaves no choice of the precision.
    """
    _log(verbose)
    console = Console(quiet=as_json, verbose=verbose)
    known = spec.load(pipelines, model)
    if data is None and known.data.placeholder:
        known = known.without_labels()
    if not known.hardware.is_default:
        console.say(
            f"  target     {known.target}: built and judged on this processor in {known.judged_in}; what the device "
            f"does in {known.device_precision} is not verified"
        )
    return Context(known, build.resolve(), data, _precision(known, precision), console, budget)


def _precision(known: PipelineSpec, asked: Optional[str]) -> Optional[str]:
    """The only precision to judge models in, if there is but one."""
    fixed = known.judged_in
    if fixed is None or asked in (None, fixed):
        return asked or fixed
    raise SpecError(
        f"for what {known.name} is built for, models are judged in {fixed} here, not in {asked}",
        where=str(known.directory / "pipeline.yml"),
        remedy="leave PRECISION out; `device.precision` says what the device runs in",
    )


def given(context: click.Context) -> set[str]:
    """The names of the parameters that the user gave a value, in whatever way."""
    source = click.core.ParameterSource
    left = (source.DEFAULT, source.DEFAULT_MAP)
    return {name for name in context.params if context.get_parameter_source(name) not in left}


def home_of(model: str, pipelines: Path, build: Path, verbose: bool) -> Path:
    """The folder of the pipeline `model` in the build directory; the spec need not be readable for that.

    Raises:
        SpecError: there is neither such a folder nor such a pipeline.
    """
    _log(verbose)
    home = build.resolve() / model
    if not home.is_dir() and model not in spec.available(pipelines):
        spec.load(pipelines, model)
    return home


def _log(verbose: bool) -> None:
    if verbose:
        logging.basicConfig(level=logging.DEBUG, format="%(name)s: %(message)s")
        logging.getLogger("filelock").setLevel(logging.WARNING)
        logging.getLogger("asyncio").setLevel(logging.WARNING)
