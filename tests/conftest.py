"""Fixtures for every suite. Real things where they can be had."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The directory of real media and models; tests that need it are skipped without it."""
    if not SHARED.is_dir():
        pytest.skip("the real media (../shared) are not beside this checkout")
    return SHARED
