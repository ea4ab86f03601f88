"""Benchmarks: every op, checked, then timed beside NumPy and PyTorch. ``python -m bench --help``."""
