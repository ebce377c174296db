"""Compiling kernels in less time: ``njit`` and ``cfunc`` for int64 and arrays, and no garbage collector.

numba compiles a function again for every combination of constants it is called
with (``f(x, 0)`` and ``f(x, 1)`` are two types of call), although LLVM inlines
small helpers and folds their constants anyway.  Here constants count as the
type they have, so a helper is compiled once.  numba also looks into every
function for Python that kernels do not use (closures, ``with`` blocks,
``prange``, arguments that are None) and annotates its source with types for
people to read: leaving that out takes a sixth off the time to compile.  And it makes so
many objects that the collector takes a tenth of the time to compile something.
"""

from __future__ import annotations

from typing import Any, Callable

import numba
from numba import types
from numba.core.compiler import Compiler
from numba.core.compiler_machinery import PassManager

from ..collector import without_collector

__all__ = ["cfunc", "direct", "njit", "without_collector"]

#: Passes of numba over constructs that no kernel has.  A name that some version of numba
#: does not know is a pass that is not there to be left out.
_NOT_NEEDED = frozenset((
    "AnnotateTypes", "DeadBranchPrune", "DumpParforDiagnostics", "FindLiterallyCalls", "InlineClosureLikes",
    "InlineInlinables", "InlineOverloads", "LiteralPropagationSubPipelinePass", "LiteralUnroll",
    "MakeFunctionToJitFunction", "NoPythonSupportedFeatureValidation", "NopythonRewrites", "RewriteDynamicRaises",
    "WithLifting"))


class _KernelCompiler(Compiler):
    """numba's compiler without the passes that are `_NOT_NEEDED`."""

    def define_pipelines(self) -> list[PassManager]:
        out = []
        for whole in super().define_pipelines():
            short = PassManager(whole.pipeline_name)
            for which, why in whole.passes:
                if getattr(which, "__name__", which) not in _NOT_NEEDED:
                    short.add_pass(which, why)
            short.finalize()
            out.append(short)
        return out


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
        kernel = numba.njit(pipeline_class=_KernelCompiler, **options)(function)
        template = kernel.get_call_template

        def get_call_template(args, kws):
            return template(tuple(types.unliteral(a) for a in args), kws)

        kernel.get_call_template = get_call_template
        return kernel

    return decorate


def cfunc(signature: Any, **options: Any) -> Callable:
    """``numba.cfunc(signature, **options)`` by the same compiler, cached on disk."""
    return numba.cfunc(signature, cache=True, nopython=True, pipeline_class=_KernelCompiler, **options)


def direct(kernel: Any) -> Callable[..., int]:
    """The compiled function behind a kernel that has one signature, for calls with exactly these types.

    numba's dispatcher looks at the types of the arguments, which takes longer than
    a short kernel runs.
    """
    compiled = list(kernel.overloads.values())
    return getattr(compiled[0], "entry_point", kernel) if len(compiled) == 1 else kernel
