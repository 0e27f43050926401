"""Install a wheel into a new virtual environment and use it as a stranger would: `make wheel-test`.

    python -m tools.packaging.wheel_test [WHEEL]       the wheel, or the one in dist/ for this Python
    python -m tools.packaging.wheel_test --lowest      with the oldest NumPy and safetensors that pyproject.toml allows

No compiler is on the path, and nothing of the source tree: `tlean --version`, `tlean check`, the programs of docs/tutorial.md. Then, with
the compiler and with Cython, examples/cython_op is built against the installed wheel, and its tests run.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMPILERS = ("cc", "gcc", "clang", "c++", "g++", "cl", "zig", "nvcc")
EXPORTED = "import tlean as tl; print(len(tl.export_c(lambda x: tl.lgamma(x) * tl.random.normal((3,)), tl.Spec((3,)), name='f').source))"
WHERE = "import pathlib, tlean, tlean._core.threads as t; print(pathlib.Path(tlean.__file__).parents[1])"


class Environment:
    """A new virtual environment, whose programs see nothing of this one."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bin = folder / "venv", folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
        self.work = folder / "work"
        self.work.mkdir()
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", self.folder], check=True)

    def run(self, what: str, *command: str | Path, path: str = "") -> str:
        """Run a program of the environment in an empty folder; its last line of output, or an exit that shows all of it."""
        env = {key: value for key, value in os.environ.items() if not key.startswith(("TLEAN_", "PYTHON", "CC", "CXX", "CFLAGS"))}
        env |= {"PATH": os.pathsep.join(filter(None, (str(self.bin), path))), "TLEAN_OFFLINE": "1"}
        begun = time.perf_counter()
        program = shutil.which(str(command[0]), path=env["PATH"]) or str(command[0])
        done = subprocess.run([program, *map(str, command[1:])], cwd=self.work, env=env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{what}: ended with {done.returncode}\n{(done.stdout + done.stderr)[-4000:]}")
        last = (done.stdout.strip().splitlines() or ["done"])[-1]
        print(f"{what}: {last} ({time.perf_counter() - begun:.1f} s)", flush=True)
        return last

    def install(self, *packages: str | Path, options: tuple[str, ...] = ("--only-binary=:all:",)) -> None:
        """Install packages; this Python's pip does it, the environment has none."""
        pip = (sys.executable, "-m", "pip", "--python", self.bin / "python", "install", "--quiet", "--disable-pip-version-check")
        self.run(f"install {' '.join(Path(package).name for package in packages)}", *pip, *options, *packages, path=os.environ["PATH"])


def lowest(package: str) -> str:
    """The requirement of exactly the oldest version that pyproject.toml allows."""
    text = (ROOT / "pyproject.toml").read_text()
    tables = tomllib.loads(text)
    entries = tables["project"]["dependencies"] + tables["build-system"]["requires"]
    entries += tables["project"]["optional-dependencies"]["checkpoint"]
    [bound] = [match[1] for entry in entries if (match := re.fullmatch(rf"{package}>=([\d.]+)", entry))]
    return f"{package}=={bound}"


def find_wheel(named: str | None) -> Path:
    """The wheel named, or the newest in dist/ that this Python can take."""
    if named:
        return Path(named).resolve()
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    wheels = sorted((ROOT / "dist").glob(f"tlean-*-{tag}-*.whl"), key=lambda path: path.stat().st_mtime)
    if not wheels:
        raise SystemExit(f"dist/ must hold a wheel for {tag}: make wheels")
    return wheels[-1]


def test(wheel: Path, folder: Path, oldest: bool) -> None:
    """Test this wheel in a new environment in this folder."""
    with zipfile.ZipFile(wheel) as files:
        names = files.namelist()
    assert any(name.endswith(".dist-info/sboms/tlean.cdx.json") for name in names), "the wheel must list what is in it"
    assert [name for name in names if name.endswith(".pxd")] == ["tlean/__init__.pxd"], "the core's fields are for the core alone"
    environment = Environment(folder)
    # The tutorial saves a model.
    environment.install(f"{wheel}[checkpoint]", *([lowest("numpy"), lowest("safetensors")] if oldest else []))
    compilers = [name for name in COMPILERS if shutil.which(name, path=str(environment.bin))]
    assert not compilers, compilers
    environment.run(
        "with", "python", "-c", "import numpy, safetensors as s; print('NumPy', numpy.__version__, 'safetensors', s.__version__)"
    )
    place = environment.run("tlean is imported from", "python", "-c", WHERE)
    assert Path(place).is_relative_to(environment.folder.resolve()), place
    environment.run("tlean --version", "tlean", "--version")
    environment.run("tlean check", "tlean", "check")
    environment.run("export_c", "python", "-c", EXPORTED)
    for name in ("tools/packaging/run_page.py", "docs/tutorial.md"):
        shutil.copy(ROOT / name, environment.work)
    environment.run("tutorial", "python", "run_page.py", "tutorial.md")
    example = ROOT / "examples" / "cython_op"
    if example.is_dir():
        shutil.copytree(example, environment.work / "cython_op", ignore=shutil.ignore_patterns("build", "*.egg-info", "*.so", "*.c"))
        environment.install("pytest", "cython>=3.1", "setuptools>=77")
        environment.install(environment.work / "cython_op", options=("--no-build-isolation", "--no-deps"))
        environment.run("examples/cython_op", "python", "-m", "pytest", "-q", "cython_op/tests", path=os.environ["PATH"])


def main() -> None:
    """Test the wheel that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", nargs="?", help="the wheel; without, the newest in dist/ for this Python")
    parser.add_argument("--lowest", action="store_true", help="with the oldest versions that are allowed")
    options = parser.parse_args()
    wheel = find_wheel(options.wheel)
    print(f"{wheel.name}: {wheel.stat().st_size:,} bytes")
    with tempfile.TemporaryDirectory() as folder:
        test(wheel, Path(folder).resolve(), options.lowest)


if __name__ == "__main__":
    main()
