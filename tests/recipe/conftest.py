"""A Python that starts quickly, for the scripts of the recipe."""

import pytest
from preloaded_python import preloaded_python


@pytest.fixture(scope="session")
def fast_python():
    """Path of a program used like `sys.executable`; torch is imported once for all scripts."""
    with preloaded_python() as program:
        yield program
