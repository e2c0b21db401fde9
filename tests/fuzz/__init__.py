"""Mutated bytes for every parser of what clients send: `make fuzz`."""
