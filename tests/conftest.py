"""Fixtures and markers that tests in several folders share."""

import os
from pathlib import Path

import pytest
from preloaded_python import preloaded_python

#: Names the folder of excerpts of the real Slakh2100, for the tests that read them.
EXCERPTS = "SLAKH_EXCERPTS"
#: Folders of tests that run whole scripts: each takes seconds to minutes.
SLOW_FOLDERS = {"recipe": ["recipe", "slow"], "fuzz": ["slow"]}


def pytest_collection_modifyitems(items):
    """Marks the tests of a folder by what it holds."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            folder = item.path.relative_to(here).parts[0]
            for marker in SLOW_FOLDERS.get(folder, []):
                item.add_marker(marker)


@pytest.fixture(scope="session")
def fast_python():
    """Path of a program used like `sys.executable`; torch is imported once for all scripts."""
    with preloaded_python() as program:
        yield program


@pytest.fixture
def real_data():
    """Folder of excerpts of the real Slakh2100; tests that need it are skipped without it."""
    folder = os.environ.get(EXCERPTS)
    if not folder:
        pytest.skip(f"{EXCERPTS} does not name a folder of excerpts of Slakh2100")
    assert (Path(folder) / "babyslakh_16k").is_dir(), f"{EXCERPTS}={folder} holds no babyslakh_16k"
    return Path(folder)
