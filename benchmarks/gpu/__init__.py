"""The checks of `benchmarks/gpu_check.py`, a file for what belongs together."""
