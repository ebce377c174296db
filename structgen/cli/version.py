"""What ``--version`` prints; imports none of what it names."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from .._version import __version__

__all__ = ["describe"]


def describe() -> str:
    """One line for structgen and one for what it runs on.

    Examples
    --------
    >>> describe().splitlines()[0].split()[0]
    'structgen'
    """
    others = []
    for name in ("numba", "numpy", "lark", "jsonschema", "tokenizers", "transformers", "torch"):
        try:
            others.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            others.append(f"{name} not installed")
    return f"structgen {__version__}\nPython {platform.python_version()}, " + ", ".join(others)
