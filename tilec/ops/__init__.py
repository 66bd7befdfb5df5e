"""Floor 5: the tensor library: what networks are made of, each a small function over `tilec.numpy` or in Tile.

The functions take traced tensors, which become part of a program, and NumPy arrays, for which they are compiled and
run. All are differentiable where there is a derivative. No function chooses a kernel: the compiler does.

Images and sequences have their channels last, `[batch, height, width, channels]`, unless `channels_first=True`.
"""

from tilec.numpy import (
    log_softmax,
    relu,
    sigmoid,
    softmax,
    tanh,
)
from tilec.ops.activations import (
    celu,
    elu,
    gelu,
    glu,
    hard_shrink,
    hard_sigmoid,
    hard_silu,
    hard_tanh,
    leaky_relu,
    log_sigmoid,
    mish,
    prelu,
    relu6,
    selu,
    silu,
    soft_shrink,
    softplus,
    softsign,
    sparse_plus,
    sparse_sigmoid,
    sparsemax,
    squareplus,
    tanh_shrink,
    threshold,
)
from tilec.ops.attention import (
    scaled_dot_product_attention,
)
from tilec.ops.convolution import (
    conv,
    depthwise_conv,
    separable_conv,
)
from tilec.ops.crossentropy import (
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    kl_divergence,
    sparse_categorical_crossentropy,
)
from tilec.ops.dropout import (
    dropout,
)
from tilec.ops.fourier import (
    fft,
    fft2,
    ifft,
    ifft2,
    irfft,
    rfft,
)
from tilec.ops.image_layout import (
    central_crop,
    crop,
    flip_left_right,
    flip_up_down,
    pad_to,
    rot90,
)
from tilec.ops.image_resize import (
    resize,
)
from tilec.ops.linalg import (
    cholesky,
    inv,
    norm,
    pinv,
    qr,
    solve_triangular,
    svd,
)
from tilec.ops.linear import (
    dense,
    embedding,
)
from tilec.ops.normalization import (
    batch_norm,
    batch_norm_training,
    layer_norm,
    moments,
)
from tilec.ops.optimizers import (
    adam,
    adamw,
    optimizer,
    sgd,
)
from tilec.ops.pooling import (
    average_pool,
    global_average_pool,
    global_max_pool,
    max_pool,
)
from tilec.ops.recurrent import (
    bidirectional,
    gru,
    lstm,
    rnn,
    simple_rnn,
)

__all__ = [
    "adam",
    "adamw",
    "average_pool",
    "batch_norm",
    "batch_norm_training",
    "bidirectional",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "celu",
    "central_crop",
    "cholesky",
    "conv",
    "crop",
    "dense",
    "depthwise_conv",
    "dropout",
    "elu",
    "embedding",
    "fft",
    "fft2",
    "flip_left_right",
    "flip_up_down",
    "gelu",
    "global_average_pool",
    "global_max_pool",
    "glu",
    "gru",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_tanh",
    "ifft",
    "ifft2",
    "inv",
    "irfft",
    "kl_divergence",
    "layer_norm",
    "leaky_relu",
    "log_sigmoid",
    "log_softmax",
    "lstm",
    "max_pool",
    "mish",
    "moments",
    "norm",
    "optimizer",
    "pad_to",
    "pinv",
    "prelu",
    "qr",
    "relu",
    "relu6",
    "resize",
    "rfft",
    "rnn",
    "rot90",
    "scaled_dot_product_attention",
    "selu",
    "separable_conv",
    "sgd",
    "sigmoid",
    "silu",
    "simple_rnn",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "solve_triangular",
    "sparse_categorical_crossentropy",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "squareplus",
    "svd",
    "tanh",
    "tanh_shrink",
    "threshold",
]
