"""The networks of `benchmarks/training.py`, written once per framework; `data` holds what they share."""
