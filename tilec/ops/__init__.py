"""Floor 5: the tensor library: what networks are made of, each a small function over `tilec.numpy` or in Tile.

The functions take traced tensors, which become part of a program, and NumPy arrays, for which they are compiled and
run. All are differentiable where there is a derivative. No function chooses a kernel: the compiler does.

Images and sequences have their channels last, `[batch, height, width, channels]`, unless `channels_first=True`.
"""

__all__: list[str] = []
