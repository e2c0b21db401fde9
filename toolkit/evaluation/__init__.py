"""Judging: metrics, measuring a model in the engine that serves it, and the gate."""
