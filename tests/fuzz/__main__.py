"""Hands damaged files to the command line and counts the answers: ``python tests/fuzz --help``."""

import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = map(str, (TESTS.parent, TESTS, TESTS / "helpers"))

from fuzz.runner import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
