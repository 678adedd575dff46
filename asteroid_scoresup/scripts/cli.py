"""``python -m asteroid_scoresup.scripts.cli``: the command without its console script."""

from __future__ import annotations

import sys
from pathlib import Path

try:
    from asteroid_scoresup_cli import VERBS, main
except ModuleNotFoundError:  # an editable installation from before the module existed
    sys.path.append(str(Path(__file__).parents[2]))
    from asteroid_scoresup_cli import VERBS, main

__all__ = ["VERBS", "main"]

if __name__ == "__main__":
    sys.exit(main())
