"""Fixtures that many tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the real logs; tests that need it skip, saying so, where it is absent."""
    folder = Path(os.environ.get("CROSSREC_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real logs at {folder} (CROSSREC_DATA names another place)")
    return folder
