"""Floor 3: what makes an IR well formed; every fault is a TileError."""
