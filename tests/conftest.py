"""For all tests: what must not be in their process.

gRPC's handlers for fork disturb the many processes that tests start, none of which uses gRPC. Paddle crashes, and
Paddle Serving silences the loggers that are there when it is imported.
"""

from __future__ import annotations

import os
import sys

# Read by gRPC when it is first imported, which is after this file.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"


def pytest_collection_finish() -> None:
    """Refuse test modules that import them, in the place of tests that fail for want of a log."""
    found = {"paddle", "paddle_serving_server"} & set(sys.modules)
    assert not found, (
        f"a test module imports {', '.join(found)}: leave that to a child process, see tests/jobs.py"
    )
