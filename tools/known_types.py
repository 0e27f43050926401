"""How many of the public names have a type that pyright knows: `pyright --verifytypes`. Fails below 95 %; says so where pyright is missing.

python tools/known_types.py
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

#: The part of the public names whose type is to be known.
LEAST = 0.95


def main() -> int:
    """The check; its exit status."""
    pyright = shutil.which("pyright")
    if pyright is None:
        print("types: not checked, since pyright is not installed (pip install pyright)")
        return 0
    command = [pyright, "--pythonpath", sys.executable, "--verifytypes", "tlean", "--ignoreexternal", "--outputjson"]
    report = json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
    part = report["typeCompleteness"]["completenessScore"]
    print(f"types: {part:.1%} of the public names have a known type; at least {LEAST:.0%} are required")
    return 0 if part >= LEAST else 1


if __name__ == "__main__":
    sys.exit(main())
