"""What all tests share: where the data is, and quiet, repeatable runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

try:
    from hypothesis import HealthCheck, settings
except ImportError:         # a partial installation can still run the other tests
    pass
else:
    # Kernels compile on first use and machines differ: never judge by time.
    settings.register_profile("structgen", deadline=None, derandomize=True,
                              suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("structgen")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder that ``STRUCTGEN_DATA`` names; without it the test is skipped."""
    value = os.environ.get("STRUCTGEN_DATA")
    if not value:
        pytest.skip("STRUCTGEN_DATA is not set")
    path = Path(value)
    if not path.is_dir():
        pytest.skip("STRUCTGEN_DATA does not name a folder")
    return path
