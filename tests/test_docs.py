"""The documentation: it builds without a warning, lacks no public name, and its code runs."""

import importlib
import os
import re
import subprocess
import sys
import textwrap
import zlib
from pathlib import Path

import pytest
import torch
from tiny import NAMES, write_folder

from asteroid_scoresup.engine import save_model
from asteroid_scoresup.models import ScoreTranscriptor

ROOT = Path(__file__).parents[1]
PACKAGES = ["data", "engine", "inference", "losses", "metrics", "models", "score"]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The pages, built with warnings as errors."""
    folder = tmp_path_factory.mktemp("docs")
    command = [sys.executable, "-m", "sphinx", "-q", "-E", "-W", "--keep-going", "-b", "html"]
    command += ["-d", str(folder / "doctrees"), str(ROOT / "docs"), str(folder / "html")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return folder / "html"


def test_the_documentation_builds_without_a_warning(built):
    pages = ["index", "quickstart", "commands", "method", "recipe", "own_songs", "other_recipes"]
    pages += [
        "formats",
        "faq",
        "results",
        "performance",
        "changelog",
        *(f"api/{name}" for name in PACKAGES),
    ]
    assert all((built / f"{page}.html").is_file() for page in pages)


def test_pages_ask_the_network_for_nothing_and_name_no_folder_of_this_machine(built):
    for page in built.rglob("*.html"):
        assert str(ROOT) not in page.read_text(), page
        asked = re.findall(
            r"<(?:script|link|img)[^>]*(?:src|href)=\"(https?:[^\"]*)", page.read_text()
        )
        assert not asked, page


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_documented(built, package):
    content = (built / "objects.inv").read_bytes().split(b"\n", 4)[4]
    entries = [line.split() for line in zlib.decompress(content).decode().splitlines()]
    documented = {entry[0] for entry in entries if entry[1].startswith("py:")}
    name = f"asteroid_scoresup.{package}"
    inside = {entry.rsplit(".", 1)[1] for entry in documented if entry.startswith(f"{name}.")}
    assert set(importlib.import_module(name).__all__) <= inside


def test_no_number_is_missing():
    pages = [*ROOT.glob("docs/*.md"), *ROOT.glob("docs/*.rst")]
    pages += [ROOT / "README.md", ROOT / "egs" / "slakh" / "README.md"]
    assert not [page for page in pages if "@@" in page.read_text()]


def python_blocks(text):
    """The Python code of a page in reStructuredText."""
    found = re.findall(r"^\.\. code-block:: python\n\n((?:   .*\n|\n)+)", text, re.MULTILINE)
    return [textwrap.dedent(block) for block in found]


def test_code_for_other_recipes_runs_as_printed(tmp_path):
    """README's and that of the page, with tiny sizes and the paths of this test."""
    write_folder(tmp_path / "prepared", rate=16000, seconds=4.2, stems=False)
    transcriptor = ScoreTranscriptor(NAMES, n_blocks=2, n_repeats=1, bn_chan=8, hid_chan=8)
    save_model(transcriptor, tmp_path / "transcriptor.pth")
    readme = re.search(r"```python\n(.+?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    blocks = [readme, *python_blocks((ROOT / "docs" / "other_recipes.rst").read_text())]
    assert len(blocks) == 3
    code = "\n".join(blocks)
    for old, new in {
        "egs/slakh/exp/slakh_demo/transcriptor/best_model.pth": str(tmp_path / "transcriptor.pth"),
        "egs/slakh/data/mini_composed/prepared": str(tmp_path / "prepared"),
        "batch_size=8": "batch_size=2",
        "ConvTasNet(": "ConvTasNet(n_blocks=2, n_repeats=1, bn_chan=8, hid_chan=8, skip_chan=8, ",
    }.items():
        assert old in code
        code = code.replace(old, new)
    scope = {"mixture": torch.zeros(65536)}
    exec(code, scope)
    system = scope["system"]
    mixture, targets = next(iter(system.train_loader))
    loss = system.common_step((mixture, targets), 0)
    loss.backward()
    assert torch.isfinite(loss)
    assert any(p.grad is not None and p.grad.any() for p in system.model.masker.parameters())
    mixture, targets = scope["train"][0]
    estimates = system.model(mixture[None])
    batch = {name: value[None] for name, value in targets.items()}
    assert torch.isfinite(scope["loss"](estimates, batch))
    assert scope["targets"]["roll"].shape == (3, 88, scope["size"][1])
