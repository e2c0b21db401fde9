"""Quantization as arithmetic on arrays: statistics of activations, scales. Knows nothing of Paddle."""
