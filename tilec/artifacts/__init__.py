"""Floor 0: compiled programs as bytes and files: the cache and saved executables (each file says its floor)."""
