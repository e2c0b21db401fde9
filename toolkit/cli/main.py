"""The program `toolkit`: its commands, and how an error reaches the user."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any, Optional

import click

from toolkit import __version__
from toolkit.cli import project, service, stages
from toolkit.cli.deploy import deploy
from toolkit.cli.doctor import doctor
from toolkit.errors import ToolkitError

# Commands start children and speak gRPC, but never fork without exec: gRPC's handlers for fork only get in the way.
# It reads this when it is first used.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

_INTERRUPTED = 130
_UNEXPECTED = 70


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="toolkit")
def program() -> None:
    """Deploy Paddle models with Paddle Serving: export, quantize, judge, convert, render, launch, verify.

    `toolkit deploy` does all of it; each stage is also a command of its own and runs what it depends on.
    """


for _command in (
    deploy,
    doctor,
    stages.export_command,
    stages.optimize_command,
    stages.calibrate_command,
    stages.quantize_command,
    stages.evaluate_command,
    stages.report_command,
    stages.convert_command,
    stages.render_command,
    service.launch,
    service.smoke,
    service.status,
    service.logs,
    service.stop,
    project.schema,
    project.clean,
):
    program.add_command(_command)


def main(argv: Optional[list[str]] = None) -> None:
    """Run a command and exit with its code: 0, that of the error, 130 after Ctrl-C, 70 for a bug."""
    arguments = sys.argv[1:] if argv is None else argv
    # What a service manager or CI sends is an interruption like Ctrl-C: children are ended, nothing half is kept.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(program.main(arguments, prog_name="toolkit", standalone_mode=False) or 0)
    except ToolkitError as error:
        _tell(error.to_json(), str(error), arguments)
    except click.ClickException as error:
        error.show()
        _tell(_described(error, error.format_message(), error.exit_code), "", arguments)
    except (click.Abort, KeyboardInterrupt) as error:
        what = "interrupted; what was finished is kept"
        _tell(_described(error, what, _INTERRUPTED), what, arguments)
    except Exception as error:
        where = f"unexpected error: {type(error).__name__}: {error}\n  where:  {_write_traceback()}"
        _tell(_described(error, where, _UNEXPECTED), where, arguments)


def _described(error: BaseException, message: str, code: int) -> dict[str, Any]:
    return {"error": type(error).__name__, "message": message, "exit_code": code}


def _tell(error: dict[str, Any], text: str, arguments: list[str]) -> None:
    """Say what happened, to programs that ask for it and to people, and exit with its code."""
    if "--json" in arguments:
        click.echo(json.dumps(error, indent=2, ensure_ascii=False))
    if text:
        click.echo(click.style("error: ", fg="red") + text, err=True)
    sys.exit(error["exit_code"])


def _write_traceback() -> Path:
    """A bug of ours: the traceback goes to a file, to be reported."""
    with tempfile.NamedTemporaryFile("w", prefix="toolkit-", suffix=".log", delete=False) as file:
        traceback.print_exc(file=file)
    return Path(file.name)
