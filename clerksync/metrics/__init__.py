"""Metrics for Prometheus, computed from the tables: every process gives the same answer."""
