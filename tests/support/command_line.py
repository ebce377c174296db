"""The command line in this process, with any version of typer and click."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from types import SimpleNamespace

__all__ = ["run_command"]


def run_command(*arguments: object, input: str | bytes | None = None) -> SimpleNamespace:
    """Run ``structgen ARGUMENTS``; gives ``code``, ``out``, ``err`` and ``json()`` of the output."""
    from structgen.cli.app import app

    sent = input.encode("utf-8", "surrogateescape") if isinstance(input, str) else input or b""
    out, err, before = io.StringIO(), io.StringIO(), sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(sent), encoding="utf-8")
    code = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            app([str(a) for a in arguments], prog_name="structgen")
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(bool(leaving.code))
    finally:
        sys.stdin = before
    return SimpleNamespace(code=code, out=out.getvalue(), err=err.getvalue(), json=lambda: json.loads(out.getvalue()))
