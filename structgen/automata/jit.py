"""Compiling kernels in less time: ``njit`` for int64 and arrays, and no garbage collector.

numba compiles a function again for every combination of constants it is called
with (``f(x, 0)`` and ``f(x, 1)`` are two types of call), although LLVM inlines
small helpers and folds their constants anyway.  Here constants count as the
type they have, so a helper is compiled once.  numba also makes so many objects that
the collector takes a tenth of the time to compile something.
"""

from __future__ import annotations

from typing import Any, Callable

import numba
from numba import types

from ..collector import without_collector

__all__ = ["direct", "njit", "without_collector"]


def njit(**options: Any) -> Callable:
    """``numba.njit(**options)`` that does not specialise on constant arguments.

    Examples
    --------
    >>> @njit(nogil=True)
    ... def double(x):
    ...     return 2 * x
    >>> double(4)
    8
    """
    def decorate(function: Callable) -> Any:
        kernel = numba.njit(**options)(function)
        template = kernel.get_call_template

        def get_call_template(args, kws):
            return template(tuple(types.unliteral(a) for a in args), kws)

        kernel.get_call_template = get_call_template
        return kernel

    return decorate


def direct(kernel: Any) -> Callable[..., int]:
    """The compiled function behind a kernel that has one signature, for calls with exactly these types.

    numba's dispatcher looks at the types of the arguments, which takes longer than
    a short kernel runs.
    """
    compiled = list(kernel.overloads.values())
    return getattr(compiled[0], "entry_point", kernel) if len(compiled) == 1 else kernel
