"""The program `toolkit`: its commands, and how an error reaches the user."""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from typing import Optional

import click

from toolkit import __version__
from toolkit.cli import result as results

# Commands start children and speak gRPC, but never fork without exec: gRPC's handlers for fork only get in the way.
# It reads this when it is first imported.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

# The module of `toolkit.cli` that each command is in, and its name there.
COMMANDS = {
    "deploy": "deploy:deploy",
    "doctor": "doctor:doctor",
    "new": "new:new",
    "inspect": "inspect:inspect_command",
    **{
        name: f"stages:{name}_command"
        for name in (
            *("export", "optimize", "calibrate", "quantize"),
            *("evaluate", "report", "convert", "render"),
        )
    },
    **{name: f"service:{name}" for name in ("launch", "serve", "smoke", "status", "logs", "stop")},
    "rollback": "rollback:rollback",
    "history": "rollback:history",
    **{name: f"release:{name}" for name in ("release", "releases", "diff", "keygen")},
    "verify": "release:verify_command",
    "targets": "targets:targets",
    "image": "image:image_command",
    "image-build": "image:image_build",
    "ci": "targets:ci_command",
    "profile": "profile:profile_command",
    "shapes": "shapes:shapes_command",
    "tune": "tune:tune_command",
    "profile-model": "profile_model:profile_model_command",
    "schema": "project:schema",
    "clean": "project:clean",
}


class _Program(click.Group):
    """Imports a command when it is asked for: a rollback must not wait for what evaluates models."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """See `click.Group`."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> Optional[click.Command]:
        """See `click.Group`."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(f"toolkit.cli.{module}"), attribute)
        return command


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="toolkit")
def program() -> None:
    """Deploy Paddle models with Paddle Serving: export, quantize, judge, convert, render, launch, verify.

    `toolkit deploy` does all of it; each stage is also a command of its own and runs what it depends on.
    """


def main(argv: Optional[list[str]] = None) -> None:
    """Run a command and exit with its code: 0, that of the error, 130 after Ctrl-C, 70 for a bug."""
    arguments = sys.argv[1:] if argv is None else argv
    # What a service manager or CI sends is an interruption like Ctrl-C: children are ended, nothing half is kept.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(program.main(arguments, prog_name="toolkit", standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        told = {
            "error": type(error).__name__,
            "message": error.format_message(),
            "exit_code": error.exit_code,
        }
        _tell(results.Failed(told, ""), arguments)
    except (Exception, KeyboardInterrupt) as error:
        _tell(results.failure(error), arguments)


def _tell(failed: results.Failed, arguments: list[str]) -> None:
    """Say what happened, to programs that ask for it in one object and to people, and exit with its code."""
    if "--json" in arguments:
        click.echo(json.dumps({**failed.result, **failed.error}, indent=2, ensure_ascii=False))
    if failed.text:
        click.echo(click.style("error: ", fg="red") + failed.text, err=True)
    sys.exit(failed.error["exit_code"])
