"""Measurements behind the claims in the documentation; run one with `python -m benchmarks.NAME`."""
