"""The documentation builds without warnings, covers all public names, and its code runs."""

import importlib
import os
import re
import subprocess
import textwrap
import zlib
from pathlib import Path

import pytest
import torch
import yaml
from tiny import NAMES, write_folder

import asteroid_scoresup
from asteroid_scoresup.engine import save_model
from asteroid_scoresup.losses import TERMS
from asteroid_scoresup.models import ScoreTranscriptor

ROOT = Path(__file__).parents[1]
PACKAGES = sorted(
    path.parent.name
    for path in ROOT.glob("asteroid_scoresup/*/__init__.py")
    if "__all__" in path.read_text()
)


#: Looking for garbage would take a quarter of its time.
SPHINX = "import gc, sys; gc.disable(); from sphinx.cmd.build import main; sys.exit(main())"
#: The extensions but for `viewcode`, which only adds the source of every module as a page.
EXTENSIONS = "mathml,parts,myst_parser,sphinx.ext.autodoc,sphinx.ext.napoleon"


@pytest.fixture(scope="module")
def built(tmp_path_factory, fast_python):
    """Folder of the HTML pages, built with warnings as errors."""
    folder = tmp_path_factory.mktemp("docs")
    command = [fast_python, "-c", SPHINX, "-q", "-E", "-W", "--keep-going", "-b", "html"]
    command += ["-D", f"extensions={EXTENSIONS}"]
    command += ["-d", str(folder / "doctrees"), str(ROOT / "docs"), str(folder / "html")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return folder / "html"


@pytest.mark.slow
def test_the_documentation_builds_without_warnings(built):
    docs = ROOT / "docs"
    sources = [*docs.glob("*.rst"), *docs.glob("*.md"), *docs.glob("api/*.rst")]
    pages = {path.relative_to(docs).with_suffix(".html") for path in sources}
    assert {Path("index.html"), Path("reliability.html"), Path("api/losses.html")} <= pages
    assert all((built / page).is_file() for page in pages)


@pytest.mark.slow
def test_pages_make_no_network_requests_and_contain_no_absolute_path(built):
    for page in built.rglob("*.html"):
        assert str(ROOT) not in page.read_text(), page
        requested = re.findall(
            r"<(?:script|link|img)[^>]*(?:src|href)=\"(https?:[^\"]*)", page.read_text()
        )
        assert not requested, page


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_documented(built, package):
    content = (built / "objects.inv").read_bytes().split(b"\n", 4)[4]
    entries = [line.split() for line in zlib.decompress(content).decode().splitlines()]
    documented = {entry[0] for entry in entries if entry[1].startswith("py:")}
    name = f"asteroid_scoresup.{package}"
    inside = {entry.rsplit(".", 1)[1] for entry in documented if entry.startswith(f"{name}.")}
    assert set(importlib.import_module(name).__all__) <= inside


def test_no_placeholder_is_left():
    pages = [*ROOT.glob("docs/*.md"), *ROOT.glob("docs/*.rst")]
    pages += [ROOT / "README.md", ROOT / "egs" / "slakh" / "README.md"]
    hunk = re.compile(r"@@ -\d+,\d+ \+\d+,\d+ @@")  # of a diff
    assert not [page for page in pages if "@@" in hunk.sub("", page.read_text())]


def test_the_tests_named_in_the_documentation_exist():
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "reliability.md").read_text()))
    assert len(named) > 100
    text = "\n".join(path.read_text() for path in ROOT.glob("tests/**/test_*.py"))
    assert sorted(named - set(re.findall(r"^ *def (test_\w+)", text, re.MULTILINE))) == []


def test_changelog_and_citation_have_the_version_of_the_package():
    changelog = (ROOT / "CHANGELOG.md").read_text()
    version, date = re.search(r"^## \[([\d.]+)\] - ([\d-]+)$", changelog, re.MULTILINE).groups()
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert asteroid_scoresup.__version__ == version == citation["version"]
    assert str(citation["date-released"]) == date
    assert len(citation["references"]) == 5


def python_blocks(text):
    """Python code blocks of a page in reStructuredText."""
    found = re.findall(r"^\.\. code-block:: python\n\n((?:   .*\n|\n)+)", text, re.MULTILINE)
    return [textwrap.dedent(block) for block in found]


@pytest.mark.slow
def test_code_for_other_recipes_runs_as_printed(tmp_path):
    """The code of README.md and docs/other_recipes.rst, with small networks and other paths."""
    write_folder(tmp_path / "prepared", rate=16000, seconds=4.2, stems=False)
    transcriptor = ScoreTranscriptor(NAMES, n_blocks=2, n_repeats=1, bn_chan=8, hid_chan=8)
    save_model(transcriptor, tmp_path / "transcriptor.pth")
    readme = re.search(r"```python\n(.+?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    blocks = [readme, *python_blocks((ROOT / "docs" / "other_recipes.rst").read_text())]
    assert len(blocks) == 4
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
    try:
        exec(code, scope)
    finally:
        TERMS.pop("sparsity", None)
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
