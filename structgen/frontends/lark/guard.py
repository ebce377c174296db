"""Bounds on what Lark's loader may be asked to do.

The loader multiplies alternatives out: ``a: "x"? "y"? ...`` with 30 optional
parts makes 2^30 rules, and templates that use themselves with larger arguments
are instantiated for ever.  Both are recognised on the loaded trees, before the
loader starts on them.
"""

from __future__ import annotations

from typing import Any

from lark import Tree

from ...errors import GrammarError

__all__ = ["MAX_ALTERNATIVES", "check_size", "check_templates"]

#: most alternatives that one rule may be multiplied out to
MAX_ALTERNATIVES = 20_000
_MAX_DEPTH = 200
_NAIVE_REPEAT = 50              # below, Lark writes ``~n`` out


class _TooMany(Exception):
    pass


def _count(tree: Any, depth: int) -> int:
    """An upper bound of the alternatives that `tree` is multiplied out to."""
    if not isinstance(tree, Tree):
        return 1
    if depth > _MAX_DEPTH:
        raise GrammarError(f"groups nested more than {_MAX_DEPTH} deep are not supported")
    children = tree.children
    kind = tree.data
    if kind == "expansions":
        out = sum(_count(c, depth + 1) for c in children)
    elif kind == "expansion":
        out = 1
        for child in children:
            out *= _count(child, depth + 1)
            if out > MAX_ALTERNATIVES:
                raise _TooMany
    elif kind == "expr":
        inner = _count(children[0], depth + 1)
        op = str(children[1])
        if op == "?":
            out = inner + 1
        elif op == "~":
            numbers = [int(c) for c in children[2:]]
            lo, hi = numbers[0], numbers[-1]
            if hi < _NAIVE_REPEAT and inner > 1:
                out = 0
                for n in range(lo, hi + 1):
                    out += inner ** n
                    if out > MAX_ALTERNATIVES:
                        raise _TooMany
            elif inner > 1:
                out = inner ** 5                    # its small factors
            else:
                out = max(1, hi - lo + 1) if hi < _NAIVE_REPEAT else 1
        else:
            out = 2
    elif kind == "maybe":
        out = _count(children[0], depth + 1) + 1
    elif kind in ("alias", "value"):
        out = _count(children[0], depth + 1)
    elif kind == "template_usage":
        for child in children[1:]:
            _count(child, depth + 1)
        out = 1
    else:
        out = 1
    if out > MAX_ALTERNATIVES:
        raise _TooMany
    return out


def check_size(name: str, tree: Any) -> None:
    """Raise `GrammarError` where Lark would multiply out too much."""
    try:
        _count(tree, 0)
    except _TooMany:
        raise GrammarError(f"the rule {name!r} multiplies out to more than {MAX_ALTERNATIVES} alternatives",
                           hint="give optional or repeated groups rules of their own") from None


def check_templates(definitions: "list[tuple[str, tuple[str, ...], Any]]") -> None:
    """Raise `GrammarError` for templates that use themselves with ever larger arguments."""
    params = {name: set(given) for name, given, _ in definitions if given}
    if not params:
        return
    uses: dict[str, set[str]] = {name: set() for name in params}
    growing: dict[str, set[str]] = {name: set() for name in params}
    for name, _, tree in definitions:
        if name not in params or tree is None:
            continue
        for usage in tree.find_data("template_usage"):
            callee = usage.children[0].name
            if callee not in params:
                continue
            uses[name].add(callee)
            for argument in usage.children[1:]:
                if isinstance(argument, Tree) and any(True for _ in argument.find_data("template_usage")):
                    growing[name].add(callee)
    for name in params:
        for callee in growing[name]:
            seen, stack = {callee}, [callee]
            while stack:
                at = stack.pop()
                if at == name:
                    raise GrammarError(f"the template {name!r} uses itself with an argument that is a template in "
                                       "turn, so it never ends", hint="recursion belongs into a plain rule")
                for other in uses[at] - seen:
                    seen.add(other)
                    stack.append(other)
