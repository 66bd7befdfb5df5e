"""What to write in Tile for words and operators that authors bring along from NumPy, Python or C."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tilec.dtypes import BY_NAME
from tilec.frontends.tile.scanner import Token

_SUM = "a sum is a contraction: 'S[i] += A[i, j];' sums over j"
_MEAN = "a mean is a sum and a division: 'S[i : M] = +(A[i, j]); Mean = S / N;'"
_LARGEST = "the largest element is a contraction: 'T[i] >= A[i, j];'; max(a, b) compares two tensors"
_SMALLEST = "the smallest element is a contraction: 'T[i] <= A[i, j];'; min(a, b) compares two tensors"
_MATMUL = "a matrix product is a contraction: 'C[i, j] += A[i, k] * B[k, j];'"
_TRUE = "count with a contraction: 'C[i] += X[i, j];' for a comparison X gives how many hold"
_ARG = "two contractions: 'Top[i] >= A[i, j];', then 'Arg[i] >= A[i, j] == Top[i] ? j;'"

FUNCTIONS: Mapping[str, str] = {
    "sum": _SUM,
    "mean": _MEAN,
    "average": _MEAN,
    "prod": "a product is a contraction: 'P[i] *= A[i, j];'",
    "amax": _LARGEST,
    "amin": _SMALLEST,
    "maximum": "it is called 'max'",
    "minimum": "it is called 'min'",
    "argmax": _ARG,
    "argmin": "two contractions: 'Low[i] <= A[i, j];', then 'Arg[i] >= A[i, j] == Low[i] ? j;'",
    "any": _TRUE,
    "all": _TRUE,
    "matmul": _MATMUL,
    "dot": "a dot product is a contraction: 'D[] += A[i] * B[i];'",
    "outer": "an outer product is a definition: 'C[i, j] = A[i] * B[j];'",
    "einsum": _MATMUL,
    "transpose": "a transpose is a definition: 'T[j, i] = A[i, j];'",
    "cumsum": "a running sum is a contraction: 'S[i : N] = +(A[k]), i - k < N;'",
    "where": "write 'c ? a : b'",
    "arange": "index variables are values in the body of a contraction: 'R[i : N] = i;'",
    "power": "it is called 'pow'",
    "softmax": "it is called 'builtin_softmax', or see examples/softmax.tile",
    "len": "sizes have names: A[N] binds N",
    "float": "conversions are as_float(x, 32), as_int(x, 32), as_uint(x, 8), as_bool(x)",
    "int": "conversions are as_float(x, 32), as_int(x, 32), as_uint(x, 8), as_bool(x)",
    "astype": "conversions are as_float(x, 32), as_int(x, 32), as_uint(x, 8), as_bool(x)",
}

_ONE_ARGUMENT: Mapping[str, str] = {"max": _LARGEST, "min": _SMALLEST}

_STATEMENTS: Mapping[str, str] = {
    "return": "nothing is returned: assign the names listed after '->'",
    "for": "'B[i : N] = A[i];' is meant for all i; where a step needs the one before, scan() applies a function",
    "while": "'B[i : N] = A[i];' is meant for all i; while(test, body, X) applies functions",
    "if": "there are no branches: write 'Y = c ? a : b;', which chooses element by element",
    "let": "write 'Name = expression;'",
    "var": "write 'Name = expression;'",
    "const": "write 'Name = expression;'",
}

_CONDITIONS = ("where", "if", "for", "when")
_SLICE = "there are no slices: 'B[i : N - 1] = A[i + 1];' is all of A but its first element"

_OPERATORS: Mapping[str, str] = {
    "and": "write '(a) & (b)'",
    "or": "write '(a) | (b)'",
    "xor": "write '(a) ^ (b)'",
    "not": "logical not is written '!'",
}

TRUTH: Mapping[str, str] = {"true": "write '1 == 1'", "false": "write '1 == 0'"}

TOP_LEVEL = "statements stand in a function: 'function name(inputs) -> (outputs) { ... }'"


def function(name: str) -> str | None:
    """Help for a call of a function that Tile has not, since it has contractions."""
    return FUNCTIONS.get(name)


def arguments(name: str, count: int) -> str | None:
    """Help for `max(A)`, meant as the largest element."""
    return _ONE_ARGUMENT.get(name) if count == 1 else None


def unexpected(tokens: Sequence[Token], at: int, accepted: frozenset[str]) -> str | None:
    """Help for an unexpected token, `tokens[at]`, where `accepted` could stand; None where no habit explains it."""
    token, previous = tokens[at], tokens[at - 1] if at else None
    if accepted <= {"FUNCTION", "TEST", "$END"}:
        return TOP_LEVEL if token.type == "NAME" else None
    if token.text in _OPERATORS:
        return _OPERATORS[token.text]
    if previous is None:
        return None
    if previous.type == "NAME" and previous.text in _OPERATORS:
        return _OPERATORS[previous.text]
    if token.text in _CONDITIONS and "COMMA" in accepted and previous.type == "RPAR":
        return "a constraint follows a comma: 'B[i : N] = +(A[i]), i < 3;'"
    if token.type == "COLON" and (previous.type == "LSQB" or "RSQB" in accepted):
        return _SLICE
    word = _first_of_statement(tokens, at)
    if word in _STATEMENTS:
        return _STATEMENTS[word]
    if token.type == "LSQB" and previous.text in BY_NAME:
        return f"the shape stands in front of the type: 'A[M, N]: {previous.text}'"
    return _near_contraction(token, previous, accepted)


def begins_statement(tokens: Sequence[Token], at: int) -> bool:
    """Whether `tokens[at]` is in a statement that begins with a word of another language, as in `if (A) B = C;`."""
    return _first_of_statement(tokens, at) in _STATEMENTS


def _near_contraction(token: Token, previous: Token, accepted: frozenset[str]) -> str | None:
    if previous.text == "default":
        return "'default' takes a name: assign the value to one first, as in 'D = 7;'"
    if previous.type == "ARROW":
        return "outputs stand in parentheses: '-> (A, B)'"
    if {"LPAR", "COLON"} == accepted:
        return "the body of a contraction stands in parentheses: '+(...)'"
    if token.type.endswith("_EQUAL") and {"EQUAL", "LSQB"} <= accepted:
        return f"'{token.text}' aggregates elements: 'S[i] {token.text} A[i, j];'; a name is assigned only once"
    return None


def _first_of_statement(tokens: Sequence[Token], at: int) -> str:
    """The word that begins the statement that `tokens[at]` belongs to, or ''."""
    start = at
    while start and tokens[start - 1].type not in ("SEMICOLON", "LBRACE", "RBRACE"):
        start -= 1
    return tokens[start].text if start < at else ""
