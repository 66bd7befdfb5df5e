"""Tile programs that several tests compile."""

from __future__ import annotations

ATTENTION = """function attention(Q[N, T, D], K[N, T, D], V[N, T, D]) -> (O) {
  S[n, i, j : N, T, T] = +(Q[n, i, d] * K[n, j, d]);
  M[n, i, 0 : N, T, 1] = >(S[n, i, j]);
  E = exp(S - M);
  Z[n, i, 0 : N, T, 1] = +(E[n, i, j]);
  P = E / Z;
  O[n, i, d : N, T, D] = +(P[n, i, j] * V[n, j, d]);
}"""
