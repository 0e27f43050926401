"""NumPy's, PyTorch's and JAX's names in tlean: the texts of docs/from_numpy.md, docs/from_pytorch.md and docs/from_jax.md.

`python -m tools.names` prints the rows that are left out because a name that they spell is not there.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass

import tlean as tl
from tlean.ops.protocol import Ops

from .name_rows import JAX, NUMPY, PYTORCH, SAME

_SPELLED = re.compile(r"\btl((?:\.[A-Za-z_]\w*)+)")


@dataclass(frozen=True)
class _Library:
    title: str
    prefix: str
    introduction: str
    same: str
    rows: tuple[tuple[str, str, str], ...]


_LIBRARIES = {
    "from_numpy.md": _Library("NumPy", "np.", NUMPY[0], SAME["numpy"], NUMPY[1]),
    "from_pytorch.md": _Library("PyTorch", "torch.", PYTORCH[0], SAME["pytorch"], PYTORCH[1]),
    "from_jax.md": _Library("JAX", "jnp.", JAX[0], SAME["jax"], JAX[1]),
}


def _is_there(path: str) -> bool:
    at: object = tl
    for name in path.split(".")[1:]:
        if not hasattr(at, name):
            return False
        at = getattr(at, name)
    return True


def missing(spelling: str) -> list[str]:
    """The names of tlean's that a spelling has and tlean has not."""
    return [f"tl{path}" for path in _SPELLED.findall(spelling) if not _is_there(path)]


def _signature(name: str) -> str:
    parts = []
    for p in inspect.signature(getattr(Ops, name)).parameters.values():
        if p.name not in ("self", "name"):
            star = "*" if p.kind is p.VAR_POSITIONAL else ""
            parts.append(f"{star}{p.name}" if p.default is p.empty else f"{p.name}={p.default!r}")
    return f"tl.{name}({', '.join(parts)})"


def _rows(library: _Library) -> Iterator[tuple[str, str, str]]:
    for name in sorted(library.same.split()):
        text = inspect.getdoc(getattr(Ops, name)) or ""
        yield f"`{library.prefix}{name}`", f"`{_signature(name)}`", text.splitlines()[0].rstrip(".").removesuffix("; a composite")


def page(file: str) -> str:
    """The text of one page."""
    library = _LIBRARIES[file]
    lines = [
        f"# From {library.title} to tlean",
        "",
        "Written by `make docs`; a test fails where it is out of date.",
        "",
        library.introduction,
    ]
    lines += ["## Under another name, or written otherwise", "", f"| {library.title} | tlean | what differs |", "|---|---|---|"]
    rows = [r for r in library.rows if not missing(r[1])]
    lines += [_line(f"`{theirs}`", f"`{ours}`", remark) for theirs, ours, remark in rows]
    lines += ["", "## Under the same name", "", "What each does exactly is its docstring: `help(tl.Ops.name)`.", ""]
    lines += [f"| {library.title} | tlean | what it does |", "|---|---|---|", *(_line(*row) for row in _rows(library))]
    return "\n".join(lines) + "\n"


def _line(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


PAGES = tuple(_LIBRARIES)

if __name__ == "__main__":
    for _file, _library in _LIBRARIES.items():
        for _theirs, _ours, _ in _library.rows:
            if missing(_ours):
                print(f"{_file}: {_theirs}: {', '.join(missing(_ours))}")
