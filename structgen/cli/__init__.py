"""The command line: ``structgen validate | explain | compile | generate | match | mask``.

`app` declares commands and options and imports nothing else of structgen, so
that ``--help`` stays quick; each command's work is in a module of its own that
is imported when it runs.  Results go to standard output, everything else to
standard error.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Entry point of ``structgen`` and ``python -m structgen``."""
    from .app import run

    run()
