"""A pipeline for a model that the toolkit has never seen: looked at, guessed, written."""
