"""Floor 3: what the IRs mean: slow and obvious NumPy evaluators, the oracle of all tests."""
