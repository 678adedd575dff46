"""Imports of the package under pytest."""

import gc
import importlib
from pathlib import Path

ROOT = Path(__file__).parent

# Whatever the imports of all tests leave in memory stays there. Without this, looking through it
# again and again for garbage takes a tenth of the time of the tests.
gc.disable()


def pytest_collection_finish():
    """Leaves what was imported out of all later garbage collections."""
    gc.freeze()
    gc.enable()


def pytest_collect_file(file_path):
    """Imports the package of a module whose docstring examples are collected.

    pytest would import the module itself and set it as an attribute of its package, where a
    function of the same name may be exported: ``alignment.align`` would then be the module.
    """
    folder = file_path.parent
    if ROOT / "asteroid_scoresup" in (folder, *folder.parents):
        importlib.import_module(".".join(folder.relative_to(ROOT).parts))
