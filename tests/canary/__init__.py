"""Canaries with real replicas: a release that is as good as what serves, and three that are worse."""
