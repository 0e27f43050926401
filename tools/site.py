"""Builds the documentation's site: `python -m tools.site [FOLDER]`, by default `build/site`; `make site` sets up what it needs.

The pages are those of docs/, the changelog, and a reference that is written here from the docstrings. Nothing is fetched from a network,
neither now nor when the site is read.
"""

from __future__ import annotations

import inspect
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import tlean as tl

ROOT = Path(__file__).parents[1]
#: Module → what its page is called; "" is `tlean` itself.
MODULES = {
    "": "Functions and classes",
    "nn": "Layers",
    "nn.init": "First values",
    "nn.metrics": "Metrics",
    "optim": "Optimisers and schedules",
    "data": "Data",
    "train": "Training",
    "linalg": "Linear algebra",
    "fft": "Fourier transforms",
    "random": "Random numbers",
    "stats": "Distributions",
    "solvers": "Solvers",
    "sparse": "Sparse matrices",
    "mcmc": "Markov chains",
    "scipy": "SciPy",
    "sklearn": "scikit-learn",
    "tree": "Trees",
    "debug": "Debugging",
    "cuda": "CUDA",
    "testing": "Testing of ops",
}
_SECTION = re.compile(r"^(Args|Returns|Raises|Example|Source|Derivative|Shapes|Formula|Yields):[ ]*(.*)$")
_ARGUMENT = re.compile(r"^    (\*{0,2}[\w, *]+): (.*)$")


def converted(text: str) -> str:
    """A docstring as Markdown: its sections get titles, arguments become a list, examples blocks of code."""
    lines, out, section = inspect.cleandoc(text).splitlines(), [], ""
    for line in lines:
        title = _SECTION.match(line)
        if title:
            section = title[1]
            out += ["", f"**{section}**" + (f": {title[2]}" if title[2] else ""), ""]
            continue
        argument = _ARGUMENT.match(line) if section == "Args" else None
        if argument:
            out.append(f"- `{argument[1]}`: {argument[2]}")
        elif section == "Args" and line.startswith("        "):
            out[-1] += " " + line.strip()
        elif section != "Example" and line and not line.startswith(" "):
            section = ""
            out.append(line)
        else:
            out.append(line)
    return "\n".join(out)


def _entry(name: str, value: Any, depth: int) -> Iterator[str]:
    try:
        signature = str(inspect.signature(value)).replace("'", "")
    except (TypeError, ValueError):
        signature = ""
    yield f"{'#' * depth} {name.rpartition('.')[2]}\n"
    yield f"```text\n{name}{re.sub(r' at 0x[0-9a-f]+', '', signature)}\n```\n"
    yield converted(inspect.getdoc(value) or "") + "\n"


def _public(module: ModuleType) -> list[str]:
    return sorted(getattr(module, "__all__", None) or [n for n in dir(module) if not n.startswith("_")], key=str.lower)


def reference(module: ModuleType, title: str) -> str:
    """The page of a module: what it exports, classes with their methods."""
    parts = [f"# {title}\n", f"`{module.__name__}`: {converted(module.__doc__ or '')}\n"]
    for name in _public(module):
        value = getattr(module, name)
        if isinstance(value, ModuleType) or not callable(value):
            continue
        parts += _entry(f"{module.__name__}.{name}", value, 2)
        if isinstance(value, type) and not issubclass(value, Exception) and value is not tl.Ops:
            for member, method in sorted(vars(value).items()):
                if not member.startswith("_") and callable(method) and inspect.getdoc(method) and not hasattr(tl.Ops, member):
                    parts += _entry(f"{name}.{member}", method, 3)
    return "\n".join(parts)


def main(folder: str = "build/site") -> None:
    """Write the sources beside the site, and build it; a link that leads nowhere is an error."""
    sources = ROOT / "build" / "site-sources"
    shutil.rmtree(sources, ignore_errors=True)
    shutil.copytree(ROOT / "docs", sources)
    for name in ("CHANGELOG.md", "SECURITY.md", "CONTRIBUTING.md"):
        shutil.copy(ROOT / name, sources / name.lower())
    (sources / "api").mkdir()
    for name, title in MODULES.items():
        try:
            module = import_module(f"tlean.{name}" if name else "tlean")
        except ImportError as error:
            # An optional package that is not installed here.
            print(f"tlean.{name}: left out ({error})", file=sys.stderr)
            (sources / "api" / f"{name}.md").write_text(f"# {title}\n\nNot part of this build: {error}.\n")
            continue
        (sources / "api" / f"{name or 'tlean'}.md").write_text(reference(module, title))
    for page in sources.rglob("*.md"):
        # Files of the repository are no pages of the site.
        text = re.sub(r"\[([^\]]+)\]\((?:\.\./)+(?!examples/|api/)[^)]*\)", r"\1", page.read_text())
        page.write_text(
            re.sub(r"\[([^\]]+)\]\((?:benchmarks|examples|tests|tools|tlean)/[^)]*\.(?:py|pyx|md)\)(?!\w)", _kept(page, sources), text)
        )
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--quiet",
        "--strict",
        "--config-file",
        str(ROOT / "mkdocs.yml"),
        "--site-dir",
        str(ROOT / folder),
    ]
    subprocess.run(command, cwd=ROOT, check=True)
    print(f"site: {folder}/index.html")


def _kept(page: Path, sources: Path) -> Any:
    def link(match: re.Match[str]) -> str:
        target = match[0].rpartition("(")[2][:-1]
        return match[0] if (page.parent / target).exists() else match[1]

    return link


if __name__ == "__main__":
    main(*sys.argv[1:])
