"""The Dockerfile names files that exist, and what the package needs to be built."""

import ast
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "Dockerfile").read_text()
#: Its instructions, with continued lines joined and without comments.
INSTRUCTIONS = re.findall(
    r"^([A-Z]+) (.+)$", re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", TEXT, flags=re.M)), re.M
)


def copied():
    """Sources of the files that are copied from the checkout."""
    sources = []
    for name, text in INSTRUCTIONS:
        if name == "COPY" and "--from" not in text:
            sources += text.split()[:-1]
    return sources


def test_what_is_copied_exists_and_is_not_ignored():
    ignored = (ROOT / ".dockerignore").read_text().split()
    for source in copied():
        assert (ROOT / source).exists() and source not in ignored


def test_every_module_of_the_package_is_copied():
    call = next(
        node for node in ast.walk(ast.parse((ROOT / "setup.py").read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "setup"
    )  # fmt: skip
    values = {k.arg: k.value for k in call.keywords}
    modules = ast.literal_eval(values["py_modules"])
    assert {f"{name}.py" for name in modules} | {"asteroid_scoresup"} <= set(copied())
    extras = {key.value for key in values["extras_require"].keys}
    used = set(re.search(r"'\.\[([\w,]+)\]'", TEXT)[1].split(","))
    assert used and used <= extras


def test_its_shell_commands_are_valid():
    names = [name for name, _ in INSTRUCTIONS]
    assert names.count("FROM") == 2 and names[-1] == "CMD" and "USER" in names
    for name, text in INSTRUCTIONS:
        if name == "RUN":
            subprocess.run(["bash", "-n"], input=text, text=True, check=True)
