"""Artifacts by content: a directory for each result of a stage, found again by the digest of all that went in."""
