"""What runs in environments of its own, and imports nothing of the toolkit; `__main__.py` is how."""
