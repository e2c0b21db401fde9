"""python -m tests.supervisor.service ...: the service process as it is, with fake replicas behind it.

Where KILL_AT is set, SIGKILL ends it before that line of a rollout, counted from the request for it.
"""

from __future__ import annotations

import os
import sys

from tests import killed
from toolkit.store import durable
from toolkit.supervisor import deployed, replica, rollouts, service

replica.MODULE = "tests.supervisor.replica"

if __name__ == "__main__":
    if "KILL_AT" in os.environ:
        killed.count_down(int(os.environ["KILL_AT"]), rollouts, deployed, durable, beginning="shift")
    sys.exit(service.main(*sys.argv[1:]))
