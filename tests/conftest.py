"""For all tests: gRPC's handlers for fork disturb the many processes that tests start, none of which uses gRPC."""

from __future__ import annotations

import os

# Read by gRPC when it is first imported, which is after this file.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
