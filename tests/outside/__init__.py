"""Test suites of other projects, run with tilec in the place of what they test: `python -m tests.outside SUITE`."""
