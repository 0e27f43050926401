"""Translate every module with the oldest Cython and setuptools that pyproject.toml allows: `python -m tools.packaging.lowest_cython`.

Nothing is compiled: what an older Cython makes is C like any other.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from tools.packaging.wheel_test import Environment, lowest

ROOT = Path(__file__).resolve().parents[2]
TRANSLATE = """
import importlib.util, os, Cython, setuptools
spec = importlib.util.spec_from_file_location("build", "setup.py")
build = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build)
build.generate()
extensions = build.extensions()
sources = {extension.sources[0] for extension in extensions}
build.translate(extensions, os.cpu_count() or 1)
print(f"Cython {Cython.__version__}, setuptools {setuptools.__version__}: {len(sources)} modules")
"""


def main() -> None:
    """Copy the sources, so that the translation in this tree stays; translate them in a new environment."""
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        environment = Environment(Path(folder).resolve())
        environment.install(lowest("cython"), lowest("setuptools"))
        tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
        for name in filter(None, tracked):
            if name.startswith(("tlean/", "tools/", "setup.py", "pyproject.toml", "README.md", "LICENSE")):
                copy = environment.work / name
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, copy)
        environment.run("translated", "python", "-c", TRANSLATE)
    print(f"{time.perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    main()
