"""Exact rewrites of a program in FP32: modules with a `NAME` and `apply(graph)`, which says how often it was taken.

A rewrite keeps the outputs up to rounding, computes weights in float64, and leaves alone what it does not know.
"""

from __future__ import annotations

from types import ModuleType

from toolkit.engines.rewrites import affine, batch_norm, constants, factor, forward, identity, scale

# In the order they are applied: what earlier ones uncover, later ones take.
REWRITES: tuple[ModuleType, ...] = (constants, identity, batch_norm, affine, forward, factor, scale)
