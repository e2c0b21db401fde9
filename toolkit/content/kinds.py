"""The kinds of content that a pipeline may take: a request has one image, one text, or one JSON value.

It comes in the field of its kind, and travels as the bytes of a file: an image file, a text in UTF-8, JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Kind = Literal["image", "text", "json"]

# The member of JSON bodies, the field of forms, the key of Paddle Serving's requests, the tensor of the Open Inference
# Protocol, and what a pipeline's own code gets it under.
FIELDS: Mapping[Kind, str] = {"image": "image", "text": "text", "json": "inputs"}
