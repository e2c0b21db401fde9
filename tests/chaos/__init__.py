"""Chaos: replicas of a running service are killed while clients ask it, and what these saw is written down."""
