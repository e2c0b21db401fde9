"""What a request is about: one image, one text, or one JSON value."""
