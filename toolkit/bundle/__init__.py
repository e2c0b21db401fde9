"""Bundles: releases of a version that never change, to be moved, verified, compared and deployed."""
