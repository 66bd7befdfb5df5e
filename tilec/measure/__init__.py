"""Floor 0: what code costs and what this machine can do (each file says its floor)."""
