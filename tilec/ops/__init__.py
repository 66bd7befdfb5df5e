"""Floor 5: the tensor library: what networks are made of, each a small function over `tilec.numpy` or in Tile.

The functions take traced tensors, which become part of a program, and NumPy arrays, for which they are compiled and
run. All are differentiable where there is a derivative. No function chooses a kernel: the compiler does.

Images and sequences have their channels last, `[batch, height, width, channels]`, unless `channels_first=True`.
"""

from tilec.ops.convolution import conv, depthwise_conv, separable_conv
from tilec.ops.fourier import fft, fft2, ifft, ifft2, irfft, rfft
from tilec.ops.image_layout import central_crop, crop, flip_left_right, flip_up_down, pad_to, rot90
from tilec.ops.image_resize import resize
from tilec.ops.linalg import cholesky, inv, norm, pinv, qr, solve_triangular, svd
from tilec.ops.normalization import batch_norm, batch_norm_training, layer_norm, moments
from tilec.ops.pooling import average_pool, global_average_pool, global_max_pool, max_pool
from tilec.ops.recurrent import bidirectional, gru, lstm, rnn, simple_rnn

__all__ = [
    "average_pool",
    "batch_norm",
    "batch_norm_training",
    "bidirectional",
    "central_crop",
    "cholesky",
    "conv",
    "crop",
    "depthwise_conv",
    "fft",
    "fft2",
    "flip_left_right",
    "flip_up_down",
    "global_average_pool",
    "global_max_pool",
    "gru",
    "ifft",
    "ifft2",
    "inv",
    "irfft",
    "layer_norm",
    "lstm",
    "max_pool",
    "moments",
    "norm",
    "pad_to",
    "pinv",
    "qr",
    "resize",
    "rfft",
    "rnn",
    "rot90",
    "separable_conv",
    "simple_rnn",
    "solve_triangular",
    "svd",
]
