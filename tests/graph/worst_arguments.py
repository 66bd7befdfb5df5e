"""Arguments of float32 functions at which their errors are largest, of all 2^32: found by `tests.graph.all_floats`."""

from __future__ import annotations

WORST: dict[str, tuple[str, ...]] = {
    "exp": ("0x1.4cec68p+2", "-0x1.aaf86cp+4"),
    "expm1": ("0x1.0fba10p+4", "-0x1.88a028p-2"),
    "log": ("0x1.55c0e4p+0", "0x1.591d0ap-3", "0x1.5a95d4p+2"),
    "log1p": ("0x1.57038cp-2", "-0x1.8p-24"),
    "sigmoid": ("0x1.f6fd50p+2", "-0x1.1acc9ep+0"),
    "sin": ("0x1.343fa4p+10", "0x1.a3b278p+14", "0x1.b08c4ap+112"),
    "cos": ("0x1.613df2p+4", "0x1.c3ff24p+10"),
    "tan": ("0x1.916b18p-1", "0x1.280206p+123"),
    "asin": ("0x1.01a6aap-1",),
    "acos": ("0x1.18d46ap-1", "-0x1.12337ep-1"),
    "atan": ("0x1.c63a56p-2",),
    "sinh": ("0x1.fc132cp-4",),
    "cosh": ("0x1.4ccddap+2",),
    "tanh": ("0x1.015ae4p+0", "0x1.caff58p-1"),
    "asinh": ("0x1.00d758p-2",),
    "acosh": ("0x1.01c856p+0",),
    "atanh": ("0x1.fa9748p-4",),
    "erf": ("0x1.b369bap-1", "0x1.0f16fep+0"),
}
