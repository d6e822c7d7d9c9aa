"""Measures what timetracer costs: `python -m tests.benchmarks [NAME ...]`. docs/performance.md says how to read it."""
