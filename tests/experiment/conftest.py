"""Runs, studies and explorations are made here for their files and numbers."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def without_painting(unpainted):
    """No test of runs looks at a figure."""
