"""Imported packages are declared as dependencies; help and version import no heavy ones."""

import ast
import functools
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import asteroid_scoresup
from asteroid_scoresup.scripts import prepare, separate, songs, standard_input
from asteroid_scoresup.scripts.cli import VERBS

ROOT = Path(__file__).parents[1]
#: Imported only by a feature that needs it, with an error message if it is missing.
OPTIONAL = {"mirdata", "onnx", "onnxruntime", "openunmix", "shtab", "tinysoundfont", "wandb"}


#: The packages from the lowest up; those of one line do not import each other.
LAYERS = [
    {"utils", "kernels"},
    {"dsp"},
    {"score"},
    {"midi"},
    {"notation"},
    {"checks", "models"},
    {"alignment"},
    {"data", "losses"},
    {"evaluation", "synthesis"},
    {"report"},
    {"engine", "inference"},
    {"scripts"},
]


def declared():
    """Lower-case names of the distributions that setup.py requires, and of its extras."""
    tree = ast.parse((ROOT / "setup.py").read_text())
    call = next(
        node.value for node in tree.body
        if isinstance(node, ast.Expr) and getattr(node.value.func, "id", "") == "setup"
    )  # fmt: skip
    lists = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id in ("RECIPE",)
    }
    required = next(k.value for k in call.keywords if k.arg == "install_requires")
    split = "<>=!~[; "

    def name(text):
        for sign in split:
            text = text.partition(sign)[0]
        return text.lower().replace("_", "-")

    return (
        {name(text) for text in ast.literal_eval(required)},
        {name(text) for text in lists["RECIPE"]},
    )


def imported(folder):
    """Files that import each top-level module."""
    found = {}
    for path in [*folder.rglob("*.py")] if folder.is_dir() else [folder]:
        for node in ast.walk(parsed(path)):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            for name in names:
                found.setdefault(name.partition(".")[0], set()).add(path.name)
    own = {"asteroid_scoresup", "asteroid_scoresup_cli", "__future__"}
    return {k: v for k, v in found.items() if k not in own | set(sys.stdlib_module_names)}


@functools.cache
def installed():
    """Distributions by module."""
    return packages_distributions()


@functools.cache
def parsed(path):
    """The syntax tree of a module, of which no test changes anything."""
    return ast.parse(path.read_text(encoding="utf-8"))


def distributions(module):
    """Names of the distributions that contain a module."""
    names = installed().get(module, [module])
    return {name.lower().replace("_", "-") for name in names}


@pytest.mark.slow
def test_imports_of_the_package_are_declared():
    required, _ = declared()
    for folder in (
        ROOT / "asteroid_scoresup",
        ROOT / "asteroid_scoresup_cli.py",
        ROOT / "asteroid_scoresup_onnx.py",
    ):
        for module, files in imported(folder).items():
            if module not in OPTIONAL:
                assert distributions(module) & required, (module, files)


@pytest.mark.slow
def test_imports_of_the_recipe_are_declared():
    required, recipe = declared()
    local = {path.stem for path in (ROOT / "egs").rglob("*.py")} | {"local"}
    for module, files in imported(ROOT / "egs").items():
        if module not in OPTIONAL | local:
            assert distributions(module) & (required | recipe), (module, files)


def package_imports(path, root):
    """Packages of ours that a module imports, at its head or in a function, with line numbers.

    Imports under ``if TYPE_CHECKING`` are for annotations and do not count.
    """
    tree = parsed(path)
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    place = path.relative_to(root.parent).parts[:-1]
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(place[: len(place) - node.level + 1]) if node.level else []
            base += node.module.split(".") if node.module else []
            names = [[*base, alias.name] for alias in node.names]
        for name in names:
            if name[0] == root.name and len(name) > 1 and (root / name[1]).is_dir():
                yield name[1], node.lineno


def against_the_layers(root):
    """Imports from a package of the same layer or a higher one."""
    height = {name: number for number, layer in enumerate(LAYERS) for name in layer}
    packages = {path.parent.name for path in root.glob("*/__init__.py")}
    assert packages == set(height), "a package is missing in LAYERS, or too much there"
    return [
        f"{path.relative_to(root)}:{line} imports {found}"
        for name in sorted(packages)
        for path in sorted((root / name).rglob("*.py"))
        for found, line in package_imports(path, root)
        if found != name and height[found] >= height[name]
    ]


def test_lower_packages_import_no_higher_ones():
    assert against_the_layers(ROOT / "asteroid_scoresup") == []


@pytest.mark.parametrize(
    "line, found",
    [
        ("from ..score import Notes", True),
        ("from .. import score", True),
        ("import asteroid_scoresup.score.notes", True),
        ("from asteroid_scoresup.score import Notes", True),
        ("def late():\n    from ..score import Notes", True),
        ("if TYPE_CHECKING:\n    from ..score import Notes", False),
        ("from ..utils.files import read_json", False),
        ("from .stft import STFT", False),
    ],
)
def test_an_import_of_a_higher_package_is_found(tmp_path, line, found):
    root = tmp_path / "asteroid_scoresup"
    for name in set.union(*LAYERS):
        (root / name).mkdir(parents=True)
        (root / name / "__init__.py").touch()
    (root / "dsp" / "new.py").write_text(line)
    assert bool(against_the_layers(root)) == found


def run(*arguments, module="asteroid_scoresup_cli"):
    code = (
        "import sys; sys.argv = sys.argv[:1] + sys.argv[1:]\n"
        f"from {module} import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "except SystemExit as stop:\n    assert not stop.code, stop.code\n"
        "print('HEAVY', *({'torch', 'asteroid', 'numpy', 'soundfile'} & set(sys.modules)))"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], *([v, "--help"] for v in VERBS)])
def test_help_and_version_do_not_import_torch(arguments):
    printed = run(*arguments)
    assert printed.splitlines()[-1] == "HEAVY"
    expected = asteroid_scoresup.__version__ if arguments == ["--version"] else "usage:"
    assert expected in printed


def test_the_choices_of_commands_are_those_of_the_library():
    """They are duplicated to keep --help fast."""
    from asteroid_scoresup.alignment import ALIGN_MODES
    from asteroid_scoresup.data.classes import DEFAULT_CLASSES
    from asteroid_scoresup.data.settings import MIXTURES
    from asteroid_scoresup.inference.encoding import CLIP_MODES, FORMATS
    from asteroid_scoresup.inference.naming import DEFAULT_TEMPLATE
    from asteroid_scoresup.inference.pcm import PCM_TYPES
    from asteroid_scoresup.inference.separator import PRECISIONS

    assert (prepare.DEFAULT_CLASSES, prepare.MIXTURES) == (DEFAULT_CLASSES, MIXTURES)
    assert separate.ALIGN_MODES == ALIGN_MODES
    assert prepare.ALIGN_MODES == ALIGN_MODES
    assert songs.PRECISIONS == PRECISIONS and list(separate.FORMATS) == list(FORMATS)
    assert tuple(PCM_TYPES) == standard_input.PCM_TYPES
    assert separate.CLIP_MODES == CLIP_MODES and separate.FILENAME == DEFAULT_TEMPLATE
