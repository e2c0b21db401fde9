"""The running service: one process with the front door and a watched replica, started, found again and stopped."""
