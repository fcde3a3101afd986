"""Benchmarks: each prints ratios measured in one run. Not part of the tests."""
