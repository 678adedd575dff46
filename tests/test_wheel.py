"""The package works from what a wheel contains, not only from a checkout."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Folder with the files that a wheel would install; made without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "asteroid_scoresup", folder / "source/asteroid_scoresup", ignore=ignore)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source")
    for path in ROOT.glob("asteroid_scoresup_*.py"):
        shutil.copy(path, folder / "source")
    command = [sys.executable, "setup.py", "-q", "build", "--build-lib", str(folder / "lib")]
    subprocess.run(command, cwd=folder / "source", check=True, capture_output=True)
    return folder / "lib"


@pytest.mark.slow
def test_a_wheel_has_every_file_of_the_package(built):
    def files(folder):
        return {
            path.relative_to(folder).as_posix()
            for path in folder.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }

    assert files(built / "asteroid_scoresup") == files(ROOT / "asteroid_scoresup")
    assert {path.name for path in built.glob("*.py")} == {
        path.name for path in ROOT.glob("asteroid_scoresup_*.py")
    }


@pytest.mark.slow
def test_songs_are_separated_with_the_files_of_a_wheel(built, tmp_path):
    sf.write(tmp_path / "song.wav", np.random.default_rng(0).uniform(-0.1, 0.1, (8000, 2)), 16000)
    code = (
        "import sys, asteroid_scoresup, asteroid.models, asteroid_scoresup_cli\n"
        "assert asteroid.models.get('TCNSeparator')  # also if our package is imported first\n"
        f"assert asteroid_scoresup.__file__.startswith({str(built)!r}), asteroid_scoresup\n"
        "status = asteroid_scoresup_cli.main(sys.argv[1:])\n"
        "slow = {'torch._dynamo', 'sympy', 'joblib'} & sys.modules.keys()\n"
        "sys.exit(f'{slow} would make each start slower' if slow else status)"
    )
    environment = {**os.environ, "PYTHONPATH": str(built), "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, "-c", code, "separate", "song.wav", "--report"],
        cwd=tmp_path, env=environment, check=True, capture_output=True,
    )  # fmt: skip
    found = {path.name for path in (tmp_path / "separated" / "song").glob("*.wav")}
    assert found == {"bass.wav", "guitar.wav", "piano.wav"}
    assert (tmp_path / "separated" / "song" / "page" / "index.html").is_file()
