"""Floor 5: calls of Python functions taken apart: arguments bound to parameters, their leaves, and the signature.

Calls should cost little: what can be known of a function's parameters is looked up once, and a call whose leaves are
all arrays or plain numbers is taken apart without a look at where each leaf is.
"""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from tilec.configuration import config
from tilec.dtypes import BOOL, F32
from tilec.errors import error
from tilec.options import Options
from tilec.resident import Buffer
from tilec.signatures import LIMIT, Describe
from tilec.target import Target
from tilec.tracing import trees
from tilec.tracing.contents import Contents
from tilec.tracing.leaves import check_axes, exactly, frozen, kind_of, kind_text, taken_leaf
from tilec.tracing.place import user_span
from tilec.tracing.sizes import Axes, axes_at

Kind: TypeAlias = tuple[Hashable, ...]
Static: TypeAlias = tuple[tuple[str, Hashable], ...]


@dataclass(frozen=True, slots=True)
class Choices:
    """What `tilec.jit` may be told: names of parameters that are static, donated, constant, of axes that are open;
    target and options.
    """

    static: frozenset[str] = frozenset()
    donated: frozenset[str] = frozenset()
    constant: frozenset[str] = frozenset()
    open_sizes: Mapping[str, Any] = field(default_factory=dict)
    target: str | Target = "auto"
    options: Options = Options()


@dataclass(slots=True)
class Call:
    """One call taken apart: the leaves of the traced arguments, their structure, and the static arguments.

    `axes` are the names of open axes by leaf, empty where there are none at all.
    """

    leaves: list[Any]
    structure: Any
    static: Static
    axes: tuple[Axes, ...] = ()

    def paths(self) -> list[tuple[Any, ...]]:
        return trees.paths(self.structure)


class Parameters:
    """The parameters of a function, and what has been chosen for them."""

    def __init__(self, function: Callable[..., Any], name: str, choices: Choices) -> None:
        self.name, self.choices = name, choices
        self._signature = _signature(function)
        self._positional, self._required = _positional(self._signature)
        self._axes: dict[Any, tuple[Axes, ...]] = {}  # by structure of the arguments
        self._contents = Contents()
        self._check_names()

    def _check_names(self) -> None:
        known, chosen = self._signature.parameters, self.choices
        if both := [n for n in chosen.open_sizes if n in chosen.constant | chosen.static]:
            raise error("TILE0511", f"{both[0]!r} cannot be known to the code and of an open size", user_span())
        if both := sorted(chosen.donated & (chosen.constant | chosen.static)):
            raise error("TILE0511", f"{both[0]!r} is donated: it cannot be static or constant, too", user_span())
        if any(p.kind is p.VAR_KEYWORD for p in known.values()):
            return
        for name in sorted(chosen.static | chosen.donated | chosen.constant | chosen.open_sizes.keys()):
            if name not in known:
                raise error("TILE0511", f"the function has no parameter {name!r}", user_span())

    # a call

    def call(self, args: Sequence[Any], kwargs: Mapping[str, Any], types: bool = False) -> Call:
        """A call taken apart; with `types`, types may stand in place of arrays. Raises TileError."""
        static, dynamic = self._separated(self._bound(args, kwargs))
        leaves, structure = trees.flatten(dynamic)
        fixed = self.choices.constant
        for leaf in leaves:
            if type(leaf) not in _PLAIN and (fixed or type(leaf) is not Buffer):
                places = trees.paths(structure)
                leaves = [taken_leaf(p, v, types, p[0] in fixed) for p, v in zip(places, leaves, strict=True)]
                break
        return Call(leaves, structure, static, self._open_axes(leaves, structure) if self.choices.open_sizes else ())

    def is_plain(self, call: Call, args: Sequence[Any]) -> bool:
        """Whether each of these positional arguments is a leaf, and the leaves are all that decides the code."""
        chosen = self.choices
        if chosen.static or chosen.constant or chosen.donated or chosen.open_sizes or not self._positional:
            return False
        return len(call.leaves) == len(args) and all(leaf is arg for leaf, arg in zip(call.leaves, args))

    def _bound(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> OrderedDict[str, Any]:
        """Arguments by parameter, in the parameters' order; raises TILE0502."""
        if not kwargs and self._required <= len(args) <= len(self._positional):
            return OrderedDict(zip(self._positional, args))
        try:
            return OrderedDict(self._signature.bind(*args, **kwargs).arguments)
        except TypeError as reason:
            raise error("TILE0502", f"{self.name}: {reason}", user_span()) from None

    def _separated(self, arguments: OrderedDict[str, Any]) -> tuple[Static, OrderedDict[str, Any]]:
        """Static arguments, and the others."""
        chosen = self.choices.static
        if not chosen:
            return (), arguments
        static = tuple((n, frozen(n, arguments.pop(n))) for n in list(arguments) if n in chosen)
        return static, arguments

    def _open_axes(self, leaves: Sequence[Any], structure: Any) -> tuple[Axes, ...]:
        found = self._axes.get(structure)
        if found is None:
            found = tuple(axes_at(self.choices.open_sizes, path) for path in trees.paths(structure))
            if len(self._axes) >= LIMIT:
                self._axes.clear()
            self._axes[structure] = found
        if any(axes and getattr(leaf, "ndim", -1) < len(axes) for axes, leaf in zip(found, leaves)):
            for path, leaf, axes in zip(trees.paths(structure), leaves, found, strict=True):
                check_axes(path, leaf, axes)
        return found

    # its signature

    def key(self, call: Call) -> Hashable:
        """What decides the code."""
        if call.axes:
            kinds = list(map(kind_of, call.leaves, call.axes))
        else:
            kinds = [
                (leaf.dtype, leaf.shape) if type(leaf) is np.ndarray else _KINDS.get(type(leaf)) or kind_of(leaf)
                for leaf in call.leaves
            ]
        if self.choices.constant:
            for k, path in enumerate(call.paths()):
                if path[0] in self.choices.constant:
                    kinds[k] = ("constant", kinds[k], self._contents.digest(k, call.leaves[k]))
        static = tuple([(n, exactly(v)) for n, v in call.static]) if call.static else ()
        return (call.structure, tuple(kinds), static, config.decisive())

    def described(self, call: Call, key: Any) -> Describe:
        """The signature in words: type by leaf, value by static argument and setting."""
        words = {trees.path_text(p): kind_text(k) for p, k in zip(call.paths(), key[1], strict=True)}
        words |= {name: repr(value) for name, value in call.static}
        words |= {f"setting {n}": repr(v) for settings in key[3] for n, v in settings}
        return lambda places: words

    # the function itself

    def arguments(self, call: Call, leaves: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and named arguments for the Python function, with these leaves in place of the call's."""
        given = {**trees.unflatten(call.structure, leaves), **dict(call.static)}
        ordered = OrderedDict((n, given[n]) for n in self._signature.parameters if n in given)
        bound = inspect.BoundArguments(self._signature, ordered)
        return bound.args, bound.kwargs


_PLAIN = frozenset({np.ndarray, float, int, bool})
_KINDS: dict[type, Kind] = {float: (float, F32), bool: (bool, BOOL)}  # of an int, the value counts


def names_at(function: Callable[..., Any], positions: int | Sequence[int]) -> list[str]:
    """Names of the parameters at these positions; raises TILE0511."""
    names = list(_signature(function).parameters)
    wanted = list(positions) if isinstance(positions, Sequence) else [positions]
    if wrong := [p for p in wanted if not isinstance(p, int) or not -len(names) <= p < len(names)]:
        raise error("TILE0511", f"there is no argument {wrong[0]!r} to donate", user_span())
    return [names[p] for p in wanted]


def _positional(signature: inspect.Signature) -> tuple[tuple[str, ...], int]:
    """Names of the parameters that a call of positional arguments alone can give, and how many it must.

    None of them where such a call has to be bound with care.
    """
    parameters = list(signature.parameters.values())
    if any(p.kind is p.VAR_POSITIONAL or (p.kind is p.KEYWORD_ONLY and p.default is p.empty) for p in parameters):
        return (), 1
    names = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return tuple(p.name for p in names), sum(p.default is p.empty for p in names)


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except (ValueError, TypeError):
        variadic = inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL)
        named = inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)
        return inspect.Signature([variadic, named])
