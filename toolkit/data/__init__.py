"""Datasets in the ecosystem's formats, checked before they are trusted."""
