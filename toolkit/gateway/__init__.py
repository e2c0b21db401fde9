"""The front door: it owns the public ports, checks and limits what comes in, and forwards it to a replica."""
