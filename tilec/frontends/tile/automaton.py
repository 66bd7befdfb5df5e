"""Which tokens can follow, by the tables of the LALR parser alone: nothing is built, so trying is cheap."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from tilec.frontends.tile.scanner import END, Token


@dataclass(frozen=True, slots=True)
class Automaton:
    """Lark's table of actions by state, and the words that are keywords where the table has an action for them."""

    states: Mapping[Any, Mapping[str, tuple[Any, Any]]]
    start: Any
    words: Mapping[str, str]

    def accepted(self, stack: list[Any]) -> frozenset[str]:
        """The terminals that can follow (the topmost state alone may promise too much)."""
        return frozenset(t for t in self.states[stack[-1]] if t.isupper() and self.shift(list(stack), t))

    def feed(self, stack: list[Any], token: Token) -> bool:
        """Moves `stack` over a token; False, with the stack spoilt, where it does not fit."""
        word = self.words.get(token.text) if token.type == "NAME" else None
        return self.shift(stack, word if word is not None and word in self.states[stack[-1]] else token.type)

    def shift(self, stack: list[Any], terminal: str) -> bool:
        """As `feed`, of a terminal."""
        from lark.parsers.lalr_analysis import Shift

        while (action := self.states[stack[-1]].get(terminal)) is not None:
            kind, to = action
            if kind is Shift:
                stack.append(to)
                return True
            if to.expansion:
                del stack[-len(to.expansion) :]
            origin = to.origin.name
            if origin not in self.states[stack[-1]]:  # the start symbol: the end was accepted
                return terminal == END
            stack.append(self.states[stack[-1]][origin][1])
        return False

    def stacks(self, tokens: Collection[Token]) -> list[list[Any]]:
        """The stack in front of each token, up to the first that does not fit, and behind the last where all do."""
        found = [[self.start]]
        for token in tokens:
            stack = list(found[-1])
            if not self.feed(stack, token):
                break
            found.append(stack)
        return found
