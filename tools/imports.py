"""The imports of `tlean/`: of Python and Cython, at the top of a module and inside functions, but not those for type checking alone."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from source import ROOT, indent_of, logical_lines, read

#: The target of an `import_module` whose argument is not a literal.
COMPUTED = "(a computed name)"
#: Folders that Cython's `include` searches after the file's own folder.
INCLUDED = ("tlean/_core", "tlean/_core/_generated")


@dataclass(frozen=True)
class Import:
    """One import: the importing module, what it imports, where that is written, and whether inside a function."""

    module: str
    other: str
    path: str
    line: int
    lazy: bool = False

    def __str__(self) -> str:
        return f"{self.module} imports {self.other} ({self.path}:{self.line})"


def module_name(path: str) -> str:
    """The module that a file is; included Cython files keep their ending."""
    file = PurePosixPath(path)
    parts = list(file.parts if file.suffix == ".pxi" else file.with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources(root: Path = ROOT) -> list[str]:
    """The Python and Cython files of `tlean/` that are there."""
    files = (p for p in (root / "tlean").rglob("*") if p.suffix in (".py", ".pyx", ".pxd", ".pxi"))
    return sorted(p.relative_to(root).as_posix() for p in files)


class Reader:
    """Reads the imports of files, knowing which modules there are."""

    def __init__(self, paths: Iterable[str]) -> None:
        self.modules = {module_name(p) for p in paths} | {module_name(p).rpartition(".")[0] for p in paths}

    def imports(self, path: str, text: str) -> Iterator[Import]:
        """The imports of one file, from any package."""
        return self._python(path, text) if path.endswith(".py") else self._cython(path, text)

    def _names(self, path: str, level: int, origin: str, names: Iterable[str]) -> Iterator[str]:
        # What `from <level dots><origin> import <names>` imports: modules where they are modules, else the origin.
        package = PurePosixPath(path).parent.parts
        base = package[: len(package) - level + 1] if level else ()
        whole = ".".join([*base, *([origin] if origin else [])])
        yield from dict.fromkeys(f"{whole}.{n}" if f"{whole}.{n}" in self.modules else whole for n in names)

    def _python(self, path: str, text: str) -> Iterator[Import]:
        module = module_name(path)
        for node, lazy in _statements(ast.parse(text)):
            targets: Iterable[str] = ()
            if isinstance(node, ast.Import):
                targets = [a.name for a in node.names]
            elif isinstance(node, ast.ImportFrom):
                targets = self._names(path, node.level, node.module or "", [a.name for a in node.names])
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module") and node.args:
                name = node.args[0]
                if isinstance(name, ast.Constant) and isinstance(name.value, str):
                    dots = len(name.value) - len(name.value.lstrip("."))
                    targets = self._names(path, dots, "", [name.value.lstrip(".")]) if dots else [name.value]
                else:
                    targets = [COMPUTED]
            yield from (Import(module, other, path, node.lineno, lazy) for other in targets if other != module)  # type: ignore[attr-defined]

    def _cython(self, path: str, text: str) -> Iterator[Import]:
        module = module_name(path)
        for row in logical_lines(text):
            words = [t.text for t in row]
            lazy = indent_of(text, row[0].line) > 0
            targets: list[str] = []
            if words[0] == "from":
                verb = next(k for k, w in enumerate(words) if w in ("import", "cimport"))
                level = 0
                while set(words[1 + level]) == {"."}:
                    level += 1
                dots = sum(map(len, words[1 : 1 + level]))
                targets = list(self._names(path, dots, "".join(words[1 + level : verb]), _listed(words[verb + 1 :])))
            elif words[0] in ("import", "cimport"):
                targets = _listed(words[1:])
            elif words[0] == "include":
                name = row[1].text.strip("\"'")
                files = [module_name(f"{folder}/{name}") for folder in (PurePosixPath(path).parent, *INCLUDED)]
                targets = [next((f for f in files if f in self.modules), files[0])]
            yield from (Import(module, other, path, row[0].line, lazy) for other in targets if other != module)


def _statements(tree: ast.AST, lazy: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    # (node, whether it is inside a function) for every node that is not under `if TYPE_CHECKING`.
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for other in node.orelse:
                yield other, lazy
                yield from _statements(other, lazy)
            continue
        yield node, lazy
        yield from _statements(node, lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))


def _listed(words: list[str]) -> list[str]:
    # The names of an import list: "(a as b, c.d)" -> a, c.d.
    entries = "\0".join(w for w in words if w not in "()").split("\0,")
    return [re.split("\0as\0", e.strip("\0"))[0].replace("\0", "") for e in entries if e.strip("\0")]


def every_import() -> list[Import]:
    """All imports of `tlean/`, once for each line that imports a module."""
    paths = sources()
    reader = Reader(paths)
    return list(dict.fromkeys(i for p in paths for i in reader.imports(p, read(p))))


def is_own(module: str) -> bool:
    """Whether a module is the library's."""
    return module.split(".")[0] == "tlean"
