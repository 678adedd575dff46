"""What tests in several folders share."""

from pathlib import Path

import pytest


@pytest.fixture
def real_data():
    """Folder of excerpts of the real Slakh2100; tests that need it are skipped without it."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "real"
    if not (folder / "babyslakh_16k").is_dir():
        pytest.skip("the real files are not here")
    return folder
