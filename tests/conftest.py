"""Fixtures and markers that tests in several folders share."""

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import settings
from preloaded_python import preloaded_python, wait_until_ready

# The same examples every time; `--hypothesis-profile default` draws others.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")

#: A script that reads its arguments when it is imported.
collect_ignore = ["helpers/preloaded_client.py"]

#: Names the folder of excerpts of the real Slakh2100, for the tests that read them.
EXCERPTS = "SLAKH_EXCERPTS"
#: Folders and files whose tests run whole scripts or trainings: each takes seconds to minutes.
SLOW = {
    "recipe": ["recipe", "slow"],
    "fuzz": ["slow"],
    "test_example.py": ["slow"],
    "test_mixing_in.py": ["slow"],
}
#: The files that take longest, which start first: with `--dist loadfile` the short ones then fill
#: the processes evenly. A file stays in one process, so that its fixtures are made once.
LONGEST_FIRST = (
    "recipe/test_run.py",
    "recipe/test_tables.py",
    "test_docs.py",
    "recipe/test_compile.py",
    "recipe/",
)


def pytest_collection_modifyitems(items):
    """Marks tests by their folder and their fixtures, and sorts the files by their time."""
    here = Path(__file__).parent
    for item in items:
        if "fast_python" in getattr(item, "fixturenames", ()):  # it runs scripts
            item.add_marker("slow")
        if here in item.path.parents:
            folder = item.path.relative_to(here).parts[0]
            for marker in SLOW.get(folder, []):
                item.add_marker(marker)

    def place(item):
        path = item.path.as_posix()
        found = (i for i, part in enumerate(LONGEST_FIRST) if f"tests/{part}" in path)
        return next(found, len(LONGEST_FIRST))

    items.sort(key=place)  # stable: the order within a file does not change


#: The path of the program of `fast_python`, for the processes of pytest-xdist.
SHARED_PYTHON = pytest.StashKey[str]()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    """Starts one preloaded Python for all processes of pytest-xdist, which run beside it.

    Only slow tests use it, so `make test-fast` saves its imports.
    """
    config = node.config
    if "not slow" in config.option.markexpr:
        return
    if SHARED_PYTHON not in config.stash:
        stack = contextlib.ExitStack()
        config.add_cleanup(stack.close)
        config.stash[SHARED_PYTHON] = stack.enter_context(preloaded_python())
    node.workerinput["fast_python"] = config.stash[SHARED_PYTHON]


@pytest.fixture(scope="session")
def fast_python(request):
    """Path of a program used like `sys.executable`; torch is imported once for all scripts."""
    shared = getattr(request.config, "workerinput", {}).get("fast_python")
    if shared:
        yield wait_until_ready(shared)
        return
    with preloaded_python() as program:
        yield wait_until_ready(program)


@pytest.fixture
def real_data():
    """Folder of excerpts of the real Slakh2100; tests that need it are skipped without it."""
    folder = os.environ.get(EXCERPTS)
    if not folder:
        pytest.skip(f"{EXCERPTS} does not name a folder of excerpts of Slakh2100")
    assert (Path(folder) / "babyslakh_16k").is_dir(), f"{EXCERPTS}={folder} has no babyslakh_16k"
    return Path(folder)
