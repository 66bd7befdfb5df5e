"""Floor 0: the tuner: schedules measured on this machine, and records of the fastest (each file says its floor)."""
