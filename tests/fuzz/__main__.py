"""python -m tests.fuzz [TARGET ...] [--seconds 60] [--seed N] [--list]

Tries each target for so many seconds and prints what it did. Exits with 1 if an input went wrong: it raised what it may
not, took too long, or took too much memory; the input is kept in build/fuzz/.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

from tests.fuzz.run import keep, run
from tests.fuzz.targets import all_targets

CRASHES = Path("build/fuzz")


def main(argv: list[str] | None = None) -> int:
    """Fuzz; the exit code."""
    targets = {target.name: target for target in all_targets()}
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", help=f"of {', '.join(targets)}; default: all")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31))
    parser.add_argument("--list", action="store_true", help="print the targets and exit")
    options = parser.parse_args(argv)
    unknown = set(options.targets) - set(targets)
    if unknown:
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(targets)}")
    if options.list:
        print("\n".join(targets))
        return 0
    print(f"seed {options.seed}", flush=True)
    crashed = False
    for name in options.targets or targets:
        outcome = run(targets[name], options.seconds, options.seed)
        rate = outcome.executions / max(outcome.seconds, 1e-9)
        print(
            f"{name:<14} {outcome.executions:>10,} inputs {rate:>10,.0f}/s  corpus {outcome.corpus}",
            flush=True,
        )
        if outcome.crash is not None:
            crashed = True
            print(f"  CRASH, kept in {keep(outcome, CRASHES)}:\n{outcome.crash}", flush=True)
    return int(crashed)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
