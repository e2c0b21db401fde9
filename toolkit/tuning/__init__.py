"""Which configuration of a release serves most on this machine: measured against real services, see `search`."""
