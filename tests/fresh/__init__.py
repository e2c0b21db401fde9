"""gRPC's handlers for fork get in the way of the replicas that are started; it reads this when it is first imported."""

import os

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
