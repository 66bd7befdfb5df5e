"""The default schedule of devices that run groups of many items: GPUs."""
