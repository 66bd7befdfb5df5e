"""Results whose cells are reached with strides or in residues: what no point reaches holds 0, whatever was there."""

from __future__ import annotations

import numpy as np
import pytest

import tilec

PROGRAMS = {
    "residues": "function (I[N]) -> (O) { O[2*k + j, 3*p, i : 13, 4, 3] = +(I[i + l] * I[k]), j < 5, k < 5, l < 4; }",
    "strided rows": "function (I[N]) -> (O) { O[3*i, j : 40, 33] = +(I[j] * I[k]), i < 13; }",
    "strided lanes": "function (I[N]) -> (O) { O[i, 2*j : 24, 66] = +(I[j] * I[k]); }",
    "diagonal": "function (I[N]) -> (O) { O[i, i, j : 24, 24, 32] = +(I[i] * I[j] * I[k]); }",
    "offset": "function (I[N]) -> (O) { O[i + 3, j : 40, 33] = +(I[j] * I[k] * I[i]); }",
}


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("n", [6, 24])
def test_unreached_cells_are_zero(name: str, n: int) -> None:
    x = (np.arange(n) % 7 + 1).astype(np.float32)
    executable = tilec.compile(PROGRAMS[name], I=x)
    expected = tilec.run(PROGRAMS[name], {"I": x}, target="reference")["O"]
    out = np.full_like(expected, np.nan)
    np.testing.assert_array_equal(executable(x, out=out), expected)
