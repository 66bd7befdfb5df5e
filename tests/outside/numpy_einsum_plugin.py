"""A plug-in of pytest: `numpy.einsum` is tilec's. Every result is compared with NumPy's, besides the test itself."""

from __future__ import annotations

import numpy as np

from tests.outside.arrays import einsum


def pytest_configure() -> None:
    np.einsum = einsum
