"""The report of an evaluation: a page to read from disk, and the same as JSON."""
