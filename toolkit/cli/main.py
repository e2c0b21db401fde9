"""The program `toolkit`: its commands, and how an error reaches the user."""

from __future__ import annotations

import os
import signal
import sys
from typing import Optional

import click

from toolkit import __version__
from toolkit.cli import image, project, release, service, show, stages, targets
from toolkit.cli import result as results
from toolkit.cli.deploy import deploy
from toolkit.cli.doctor import doctor
from toolkit.cli.profile import profile_command

# Commands start children and speak gRPC, but never fork without exec: gRPC's handlers for fork only get in the way.
# It reads this when it is first used.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")


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
    service.serve,
    service.smoke,
    service.status,
    service.logs,
    service.stop,
    release.release,
    release.releases,
    release.verify_command,
    release.diff,
    release.keygen,
    profile_command,
    targets.targets,
    image.image_command,
    image.image_build,
    targets.ci_command,
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
        show.as_json({**failed.result, **failed.error})
    if failed.text:
        click.echo(click.style("error: ", fg="red") + failed.text, err=True)
    sys.exit(failed.error["exit_code"])
