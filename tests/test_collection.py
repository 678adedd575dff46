"""How pytest imports the package."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
FORGET = "for name in [n for n in sys.modules if n.startswith('asteroid_scoresup.alignment')]:"


def test_examples_can_be_collected_before_the_package_is_imported(fast_python):
    """`alignment.align` stays the function, although a module has the same name."""
    code = (
        "import sys, pytest\n"
        f"{FORGET} del sys.modules[name]\n"
        "status = pytest.main(['-q', '--collect-only', '-p', 'no:cacheprovider', "
        "'asteroid_scoresup/alignment/align.py'])\n"
        "from asteroid_scoresup.alignment import align\n"
        "sys.exit(status or not callable(align))"
    )
    done = subprocess.run([fast_python, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
