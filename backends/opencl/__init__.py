"""OpenCL 1.2, by pyopencl: a plain emitter that is right on every device and tuned for none."""
