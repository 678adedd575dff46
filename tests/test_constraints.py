"""The constraints files are the two ends of what setup.py allows."""

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
SETUP = (ROOT / "setup.py").read_text()


def pinned(name):
    """Version of each package in a constraints file."""
    lines = (ROOT / "constraints" / f"{name}.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(package): Version(version) for package, version in pairs}


def required():
    """Requirements of the package and its extras recipe and onnx."""
    texts = re.search(r"install_requires=\[(.*?)\n    \]", SETUP, re.DOTALL)[1]
    texts += "".join(
        re.search(rf"^{name} = \[(.*?)\]", SETUP, re.M)[1] for name in ("RECIPE", "ONNX")
    )
    return [Requirement(text) for text in re.findall(r'"([^"]+)"', texts)]


@pytest.mark.parametrize("name", ["lowest", "newest"])
def test_every_requirement_is_pinned_within_its_range(name):
    versions, requirements = pinned(name), required()
    assert len(requirements) > 20
    for requirement in requirements:
        assert versions[canonicalize_name(requirement.name)] in requirement.specifier, requirement


def test_the_lowest_versions_are_the_lower_bounds():
    versions = pinned("lowest")
    for requirement in required():
        (bound,) = [s for s in requirement.specifier if s.operator in (">=", "==")]
        found = versions[canonicalize_name(requirement.name)]
        # A bound such as 1.11 may be released as 1.11.1 for a version of Python.
        assert (
            found.release[: len(Version(bound.version).release)] == Version(bound.version).release
        )
