"""Kernel files name the digest of the kernel files compiled into them (see bench/stamp_kernels.py)."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "bench" / "stamp_kernels.py"


def test_stamps_are_up_to_date():
    if not SCRIPT.is_file():
        pytest.skip("not a source checkout")
    spec = importlib.util.spec_from_file_location("stamp_kernels", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in module.DEPENDENTS:
        assert module._LINE.search((module.ROOT / name).read_text()), f"{name} has no DEPENDS_ON line"
    assert module.stamp(write=False) == [], "run: python bench/stamp_kernels.py"
