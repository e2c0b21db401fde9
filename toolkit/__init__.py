"""Deploy Paddle models with Paddle Serving: export, quantize, judge, convert, render, launch, verify."""

__version__ = "0.1.0"
