"""Paddle Serving 0.9's own OCR pipeline, as its project publishes it, with FP32 models as exported."""
