"""Builds the documentation's site: `python -m tools.site [FOLDER]`, by default `build/site`; `make site` sets up what it needs.

The pages are those of docs/, the changelog, and a reference that is written here from the docstrings. Nothing is fetched from a network,
neither now nor when the site is read. A link that leads nowhere, or a page that the menu lacks, is an error.
"""

from __future__ import annotations

import ast
import inspect
import os
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
from tlean.functions import NAMES

ROOT = Path(__file__).parents[1]
#: Module → what its page is called; "" is `tlean` itself, without the functions that are ops, which have a separate page.
MODULES = {
    "": "Functions and classes",
    "functions": "Ops, one by one",
    "nn": "Layers",
    "nn.init": "First values",
    "nn.metrics": "Metrics",
    "optim": "Optimisers and schedules",
    "data": "Data",
    "train.history": "Histories and logs",
    "train.tapem": "Training on tapes",
    "linalg": "Linear algebra",
    "fft": "Fourier transforms",
    "random": "Random numbers",
    "stats": "Distributions",
    "solvers": "Solvers",
    "interpolation": "Interpolation",
    "sparse": "Sparse matrices",
    "mcmc": "Markov chains",
    "scipy": "SciPy",
    "sklearn": "scikit-learn",
    "onnx": "ONNX",
    "distributed": "Several processes",
    "array_api": "Array API",
    "backends": "Backends",
    "tree": "Trees",
    "debug": "Debugging",
    "cuda": "CUDA",
    "testing": "Testing of ops",
}
#: Pages that lie beside docs/.
BESIDE = ("CHANGELOG.md", "SECURITY.md", "CONTRIBUTING.md")
_TITLES = "Args|Attributes|Returns|Raises|Yields|Example|Examples|Source|Sources|Derivative|Shapes|Formula|Rounding"
_SECTION = re.compile(rf"^((?:{_TITLES})(?:, (?:{_TITLES}))*):(:?)[ ]*(.*)$")
#: A section that begins in the middle of a line.
_INLINE = re.compile(rf"(?<=[.;)]) (?=(?:{_TITLES}):[ ])")
_ENTRY = re.compile(r"^(\*{0,2}`?[\w.]+`?(?:, \*{0,2}`?[\w.]+`?)*): (.*)$")
_ITEM = re.compile(r"^(?:[-*]|\d+\.) ")
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:|#|mailto:)([^)#\s]+)(#[^)\s]*)?\)")
_WIDE = 88


def converted(text: str) -> str:
    """A docstring as Markdown: its sections get titles, arguments become a list, examples blocks of code."""
    parts: list[tuple[str, list[str]]] = [("", [])]
    fenced = False
    for line in inspect.cleandoc(text).splitlines():
        fenced ^= line.startswith("```")
        for piece in [line] if fenced else _INLINE.split(line):
            title = None if fenced else _SECTION.match(piece)
            if title:
                parts.append((title[1], [title[3]]))
            elif parts[-1][0] and piece and not piece.startswith(" ") and len(parts[-1][1]) > 1 and not parts[-1][1][-1]:
                # Text after an empty line that is not indented is in no section.
                parts.append(("", [piece]))
            else:
                parts[-1][1].append(piece)
    return "\n\n".join(filter(None, (_section(title, lines) for title, lines in parts))) + "\n"


def _section(title: str, lines: list[str]) -> str:
    if not title:
        return "\n".join(spaced(lines)).strip()
    body = inspect.cleandoc("\n".join(["", *lines[1:]]))
    if title.startswith("Example"):
        code = body if body.startswith("```") else f"```{'pycon' if '>>>' in body else 'python'}\n{body}\n```"
        return f"**{title}**{': ' + lines[0] if lines[0] else ''}\n\n{code}"
    entries: list[str] = []
    for line in body.splitlines():
        entry = None if line.startswith(" ") else _ENTRY.match(line)
        if entry:
            entries.append(f"- `{entry[1].replace('`', '')}`: {entry[2]}")
        elif entries and line.strip():
            entries[-1] += " " + line.strip()
        elif line:
            break
    if entries and len(entries) == sum(1 for line in body.splitlines() if line and not line.startswith(" ")):
        return f"**{title}**\n\n" + "\n".join(entries)
    return f"**{title}**: " + " ".join([lines[0].strip(), *body.split("\n")]).strip()


def spaced(lines: list[str]) -> Iterator[str]:
    """Lines of Markdown with an empty one before each list, which this Markdown needs and GitHub's does not."""
    before, fenced = "", False
    for line in lines:
        fenced ^= line.lstrip().startswith("```")
        if not fenced and _ITEM.match(line) and before and not before.startswith((" ", "#", "|", ">")) and not _ITEM.match(before):
            yield ""
        yield line
        before = line


def signed(name: str, value: Any) -> str:
    """A name with its signature, on several lines where it is long."""
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return name
    parameters = [p for p in signature.parameters.values() if p.name != "self"]
    text = re.sub(r" at 0x[0-9a-f]+|'", "", f"{name}{signature.replace(parameters=parameters)}")
    if len(text) <= _WIDE:
        return text
    # One parameter a line, and the marks "/" and "*" between them.
    marks: list[str] = []
    kind: Any = None
    for p in parameters:
        if kind is p.POSITIONAL_ONLY and p.kind is not kind:
            marks.append("/")
        if p.kind is p.KEYWORD_ONLY and kind not in (p.KEYWORD_ONLY, p.VAR_POSITIONAL):
            marks.append("*")
        kind = p.kind
        marks.append(re.sub(r" at 0x[0-9a-f]+|'", "", str(p)))
    returned = text.rpartition(") -> ")[2] if ") -> " in text else ""
    return f"{name}(\n" + "".join(f"    {m},\n" for m in marks) + ")" + (f" -> {returned}" if returned else "")


def _entry(name: str, value: Any, depth: int) -> Iterator[str]:
    yield f"{'#' * depth} {name.rpartition('.')[2]}\n"
    yield f"```python\n{signed(name, value)}\n```\n"
    yield converted(inspect.getdoc(value) or "")


def _public(module: ModuleType) -> list[str]:
    names = getattr(module, "__all__", None)
    if module is tl:
        names = [name for name in tl.__all__ if name not in NAMES]
    elif names is None:
        # What it has by an import is shown where it is from.
        own = module.__name__
        names = [n for n, v in vars(module).items() if not n.startswith("_") and getattr(v, "__module__", own).startswith(own)]
        names = [n for n in names if not isinstance(getattr(module, n), ModuleType)]
    return sorted(names, key=str.lower)


def _methods(kind: type) -> Iterator[tuple[str, Any]]:
    inherited = [base for base in kind.__mro__[1:] if base.__module__.startswith("tlean.")]
    for member, method in sorted(vars(kind).items()):
        method = method.__func__ if isinstance(method, staticmethod | classmethod) else method
        described = callable(method) and inspect.getdoc(method) and not hasattr(tl.Ops, member)
        # What a base has is described there, but what a layer does with which shapes.
        if not member.startswith("_") and described and (member == "forward" or not any(member in vars(base) for base in inherited)):
            yield member, method


def reference(module: ModuleType, title: str, name: str = "") -> str:
    """The page of a module: what it exports, classes with their methods.

    Args:
        module: the module.
        title: of the page; "" for a part of a page.
        name: by which users know the module.
    """
    name = name or module.__name__
    # Some begin with the module's name.
    about = re.sub(r"^`?(?:tl|tlean)(?:\.[\w.]+)?`?: ", "", converted(module.__doc__ or ""))
    if module.__name__ == "tlean.functions":
        about = "every op as a function; [the ops](../ops.md) are listed there with their derivatives and kernels.\n"
    if title:
        parts = [f"# {title}\n", f"`{name}`: {about}\n"]
    else:
        parts = [f"## {name.removeprefix('tlean.')}\n", about + "\n"]
    depth = 2 if title else 3
    for entry in _public(module):
        value = getattr(module, entry)
        if isinstance(value, ModuleType) and value.__name__ == f"{module.__name__}.{entry}" and module is not tl:
            parts.append(reference(value, "", f"{name}.{entry}"))
        if isinstance(value, ModuleType) or not callable(value):
            continue
        parts += _entry(f"{name}.{entry}", value, depth)
        if isinstance(value, type) and not issubclass(value, Exception) and value is not tl.Ops:
            for member, method in _methods(value):
                parts += _entry(f"{entry}.{member}", method, depth + 1)
    return "\n".join(parts)


def relinked(text: str, source: Path, page: Path, sources: Path) -> str:
    """A page's text whose links lead to pages of the site; what leads to another file of the repository is text.

    Args:
        text: the page.
        source: where it is in the repository.
        page: where it is among the sources of the site.
        sources: the folder of those.
    """

    def link(match: re.Match[str]) -> str:
        words, target, anchor = match[1], match[2], match[3] or ""
        file = (source.parent / target).resolve()
        if file.is_relative_to(ROOT / "docs"):
            target = os.path.relpath(sources / file.relative_to(ROOT / "docs"), page.parent)
        elif file.parent == ROOT and file.name in BESIDE:
            target = os.path.relpath(sources / file.name.lower(), page.parent)
        elif file.exists():
            return words
        return f"[{words}]({target}{anchor})"

    return _LINK.sub(link, text)


def with_displays(text: str) -> str:
    """A page whose programs run, each followed by what a notebook shows of its last line.

    Args:
        text: the page.
    """
    names: dict[str, Any] = {}

    def block(match: re.Match[str]) -> str:
        tree = ast.parse(match[1])
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, "page", "exec"), names)
        shown = eval(compile(ast.Expression(last.value), "page", "eval"), names) if isinstance(last, ast.Expr) else None
        draw = getattr(shown, "_repr_svg_", None) or getattr(shown, "_repr_html_", None)
        return f'{match[0]}\n<div class="shown">\n{draw()}\n</div>\n' if draw else match[0]

    return re.sub(r"^```python\n(.*?)^```\n", block, text, flags=re.MULTILINE | re.DOTALL)


def write_sources(sources: Path) -> None:
    """Write what mkdocs reads: the pages of docs/ and beside it, and the reference."""
    shutil.rmtree(sources, ignore_errors=True)
    shutil.copytree(ROOT / "docs", sources)
    pages = {sources / p.relative_to(ROOT / "docs"): p for p in (ROOT / "docs").rglob("*.md")}
    pages |= {sources / name.lower(): ROOT / name for name in BESIDE}
    for page, source in pages.items():
        text = "\n".join(spaced(relinked(source.read_text(), source, page, sources).splitlines())) + "\n"
        if page.name == "ops.md":
            # The entry of an op is a click away.
            text = re.sub(r"^\| `(\w+)\(", lambda m: f"| [`{m[1]}`](api/functions.md#{m[1].lower()})`(", text, flags=re.MULTILINE)
        if page.name == "notebooks.md":
            text = with_displays(text)
        if max((line.count("|") for line in text.splitlines() if line.startswith("|")), default=0) > 7:
            # A wide table gets the room of the page's contents.
            text = f"---\nhide: [toc]\n---\n{text}"
        page.write_text(text)
    (sources / "api").mkdir()
    for name, title in MODULES.items():
        try:
            module = getattr(tl, name) if name in ("onnx",) else import_module(f"tlean.{name}" if name else "tlean")
        except ImportError as error:
            # An optional package that is not installed here.
            print(f"tlean.{name}: left out ({error})", file=sys.stderr)
            (sources / "api" / f"{name}.md").write_text(f"# {title}\n\nNot part of this build: {error}.\n")
            continue
        shown = "tlean" if name in ("", "functions") else f"tlean.{name}"
        (sources / "api" / f"{name or 'tlean'}.md").write_text(reference(module, title, shown))


def main(folder: str = "build/site") -> None:
    """Write the sources beside the site, and build it. Raises: SystemExit with what mkdocs said, for a link that leads nowhere."""
    write_sources(ROOT / "build" / "site-sources")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(ROOT / "mkdocs.yml")]
    # Not `--quiet`: it would hide the warnings from `--strict` too.
    done = subprocess.run([*command, "--site-dir", str(ROOT / folder)], cwd=ROOT, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{done.stdout}{done.stderr}".strip())
    print(f"site: {folder}/index.html")


if __name__ == "__main__":
    main(*sys.argv[1:])
