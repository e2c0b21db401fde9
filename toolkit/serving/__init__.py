"""Paddle Serving: the only package that imports paddle_serving_*."""
