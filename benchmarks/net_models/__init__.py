"""The networks of `benchmarks/nets.py`, written once per framework; `data` holds what they share."""
