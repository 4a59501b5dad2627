"""What was measured, as CSV and JSON lines; `python -m benchmarks.results` makes docs/results.md of it."""
