"""gRPC's handlers for fork only warn of commands that are started; it reads this when it is first imported."""

import os

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
