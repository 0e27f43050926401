"""The source distribution holds every tracked file, and its own tests run: `python -m tools.packaging.sdist_test [TEST...]`.

The tests run in the unpacked folder, with the modules that are built in this tree; without names, a few that read files beside the tests.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tools.packaging import wheels

ROOT = Path(__file__).resolve().parents[2]
SLICE = ("tests/project/test_build.py", "tests/project/test_tools_kernels.py", "tests/cli/test_examples_tape.py")


def main() -> None:
    """Compare, unpack, test."""
    with tempfile.TemporaryDirectory() as folder:
        sdist = wheels.source_distribution(Path(folder), wheels.settings())
        with tarfile.open(sdist) as files:
            files.extractall(folder, filter="data")
        [tree] = (path for path in Path(folder).iterdir() if path.is_dir())
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
        tracked = [name for name in listed.split("\0") if name]
        missing = [name for name in tracked if (ROOT / name).exists() and not (tree / name).exists()]
        if missing:
            raise SystemExit(f"the source distribution must hold every tracked file; MANIFEST.in leaves out {', '.join(missing[:20])}")
        print(f"{sdist.name}: {sdist.stat().st_size:,} bytes, {len(tracked)} tracked files, none missing", flush=True)
        # What the build makes is taken from here.
        for path in (ROOT / "tlean").rglob("*"):
            copy = tree / path.relative_to(ROOT)
            if path.is_file() and "__pycache__" not in path.parts and not copy.exists():
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, copy)
        env = os.environ | {"PYTHONPATH": str(tree)}
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(sys.argv[1:] or SLICE)]
        raise SystemExit(subprocess.run(command, cwd=tree, env=env, check=False).returncode)


if __name__ == "__main__":
    main()
