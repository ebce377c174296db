"""Running the command line, in this process and as a program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.support.command_line import run_command

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def cli():
    """Run a command in this process: ``cli("validate", ..., input=...)``."""
    return run_command


@pytest.fixture
def program():
    """Run ``python -m structgen`` as a process of its own."""

    def call(*arguments, input=None, env=None):
        done = subprocess.run([sys.executable, "-m", "structgen", *map(str, arguments)], input=input,
                              capture_output=True, cwd=ROOT, env={**os.environ, **(env or {})}, timeout=120)
        return SimpleNamespace(code=done.returncode, out=done.stdout.decode(), err=done.stderr.decode())

    return call


@pytest.fixture
def write(tmp_path):
    """Write a file and give its path: dicts as JSON, text and bytes as they are."""

    def call(name, content):
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return path

    return call
