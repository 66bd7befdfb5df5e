"""How names are mistyped, and which of two spellings a text knows better."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

from tilec.frontends.tile import functions, habits

_WORD = re.compile(r"[A-Za-z_]\w*'?")
_SHORT = 3  # letters of a name that is looked for as a whole word only


def alike(name: str, other: str, least: float = 0.6) -> bool:
    """Whether one name may be the other one mistyped: `least` is the part of longer names that is the same."""
    if abs(len(name) - len(other)) > 2:
        return False
    if max(len(name), len(other)) <= 2:
        return len(name) == len(other) == 1 or bool(set(name.lower()) & set(other.lower()))
    return SequenceMatcher(None, name.lower(), other.lower()).ratio() >= least


def doubled(name: str, other: str) -> bool:
    """Whether `name` is `other` with one letter twice, be it the only letter or one that is seldom doubled."""
    places = (i for i in range(1, len(name)) if name[i] == name[i - 1])
    return any(name[:i] + name[i + 1 :] == other for i in places if len(other) == 1 or name[i] in "aijkquvwxy")


def familiarity(name: str, text: str) -> int:
    """How often a text has a name, in longer words and in comments too; a word that all authors of Tile know counts."""
    known = name in habits.FUNCTIONS or functions.arity(name) is not None
    if len(name) <= _SHORT:
        return known + _WORD.findall(text).count(name)
    return known + text.lower().count(name.lower())
