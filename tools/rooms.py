"""The rooms of `tlean/`: who imports whom, and how large files, folders and functions are. Fails where a rule is broken.

    python tools/rooms.py                                   # the report
    python tools/rooms.py --picture docs/architecture.md    # draw the rooms between the two marker comments of that file

A room is a package or a module right under `tlean/`. Every import counts: of Python files, generated ones too where they are there, and of
Cython sources (`import`, `cimport`, `include`); those inside functions, and `import_module` with the name written out. Imports for type
checking alone do not. The rules:

- rooms import from their own layer and those below (`LAYERS`); there is no circle of rooms or of files;
- `_core` imports nothing of the other rooms, and they may import it from `CORE_FROM` on; `NO_KERNELS` see no kernels;
- at most `MOST_LAZY` imports inside functions, each with its reason in `LAZY`; optional packages and what is long to import do not count;
- at most 20 files a folder, 500 lines a file and 80 lines a function, tests and tools included.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from imports import COMPUTED, Import, every_import, is_own, module_name, sources
from sizes import wrong_sizes

# The rules ----------------------------------------------------------------------------------------------------------------

#: The rooms from the ground up: a room imports from its own layer and from those below.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("_moved", "caching", "display", "dtypes", "errors", "later", "locks"),
    ("arguments", "files", "shapes"),
    ("rng", "tree"),
    ("ops",),
    ("_generated", "indexing", "options", "profiling"),
    ("reference",),
    ("compiler",),
    ("cuda", "interpreters"),
    ("devices",),
    ("param", "programs"),
    ("optim",),
    ("session", "tape"),
    ("autodiff", "backends", "dispatch", "loops"),
    ("arrays", "data", "functions", "linalg"),
    ("array_api", "custom", "debug", "fft", "implicit", "interpolation", "nn", "random", "stats"),
    ("solvers", "testing", "train"),
    ("distributed", "mcmc", "sparse"),
    ("interop", "scipy", "sklearn"),
    ("tlean",),
    ("cli",),
    ("__main__",),
)
#: `_core` imports no other room; rooms from this one's layer on may import it.
CORE_FROM = "profiling"
#: Rooms that use arrays and threads of the core, never a kernel.
NO_KERNELS = ("data", "nn", "train")
CORE_WITHOUT_KERNELS = ("tlean._core.array", "tlean._core.plan.bound", "tlean._core.plan.commit", "tlean._core.threads")
#: The imports allowed inside functions: (module, imported module) -> reason.
LAZY: dict[tuple[str, str], str] = {
    ("tlean.devices", "tlean.cuda.device"): "CUDA doubles the time of `import tlean`, so it is loaded with the first device",
    ("tlean.compiler.by_definition", "tlean.reference.interpreter"): "the definitions are a tenth of the time of `import tlean`",
    ("tlean.compiler.cpu", "tlean.compiler.checks.kernel_check"): "only TLEAN_CHECK_PLANS has the numbers of kernels checked",
    ("tlean.cuda", "tlean.cuda.api"): "the same, for who asks `tl.cuda` for a device",
}
MOST_LAZY = 5
#: Modules of Python's own that few programs need and that take longer to import than any module of the library: the same.
LATE = ("hashlib", "shutil", "statistics", "subprocess")
#: Packages that are optional: importing them inside functions is how they stay so.
OPTIONAL: tuple[str, ...] = ("cuda", "jax", "matplotlib", "mpi4py", "nccl", "onnx", "pycuda", "safetensors")
OPTIONAL += ("scipy", "sklearn", "tensorboardX", "torch", "tqdm")

MARKERS = ("<!-- rooms: begin -->", "<!-- rooms: end -->")


# Rooms and circles --------------------------------------------------------------------------------------------------------

Edges = dict[str, set[str]]


def room(module: str) -> str:
    """The room of a module: the name after `tlean`, "tlean" for the package itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def file_edges(imports: Iterable[Import]) -> Edges:
    """Module -> the library's modules that it imports."""
    edges: Edges = defaultdict(set)
    for i in imports:
        if is_own(i.other):
            edges[i.module].add(i.other)
    return edges


def package_edges(imports: Iterable[Import], packages: Iterable[str]) -> Edges:
    """Package -> the packages that its files import, folder by folder."""
    names = set(packages)
    edges: Edges = defaultdict(set)
    for i in imports:
        here, there = (m if m in names else m.removesuffix(".pxi").rpartition(".")[0] for m in (i.module, i.other))
        if is_own(i.other) and here != there:
            edges[here].add(there)
    return edges


def room_edges(imports: Iterable[Import]) -> Edges:
    """Room -> the other rooms that it imports."""
    edges: Edges = defaultdict(set)
    for i in imports:
        if is_own(i.other) and room(i.other) != room(i.module):
            edges[room(i.module)].add(room(i.other))
    return edges


def reachable(edges: Edges, start: str) -> set[str]:
    """What can be reached from a node in one step or more."""
    seen: set[str] = set()
    left = list(edges.get(start, ()))
    while left:
        node = left.pop()
        if node not in seen:
            seen.add(node)
            left += edges.get(node, ())
    return seen


def circles(edges: Edges) -> list[list[str]]:
    """Sets of nodes that all reach each other, the largest first."""
    reach = {n: reachable(edges, n) for n in {*edges, *(o for others in edges.values() for o in others)}}
    components = {frozenset(m for m in reach[n] if n in reach[m]) for n in reach if n in reach[n]}
    return sorted((sorted(c) for c in components), key=lambda c: (-len(c), c))


def shortest_circle(edges: Edges, nodes: list[str]) -> list[str]:
    """A shortest circle among nodes that all reach each other."""
    best: list[str] = []
    for start in nodes:
        paths = [[start]]
        seen = {start}
        for path in paths:
            if best and len(path) >= len(best):
                break
            for other in sorted(edges.get(path[-1], ())):
                if other == start:
                    best = path
                    break
                if other in nodes and other not in seen:
                    seen.add(other)
                    paths.append([*path, other])
    return best


# What breaks the rules ----------------------------------------------------------------------------------------------------


def wrong_layers(imports: Iterable[Import], layers: tuple[tuple[str, ...], ...] = LAYERS) -> list[str]:
    """Rooms without a layer, and imports that go up or into the core where they must not."""
    level = {r: n for n, rooms in enumerate(layers) for r in rooms}
    wrong: dict[str, None] = {}
    for i in imports:
        here, there = room(i.module), room(i.other)
        if not is_own(i.other) or here == there:
            continue
        without = sorted({here, there} - level.keys() - {"_core"})
        if without:
            wrong.update({f"room without a layer in LAYERS: {r}": None for r in without})
        elif here == "_core" or (there != "_core" and level[there] > level[here]):
            wrong[f"upward: {i}"] = None
        elif there == "_core" and level[here] < level[CORE_FROM]:
            wrong[f"into the core: {i}"] = None
        elif there == "_core" and here in NO_KERNELS and i.other not in CORE_WITHOUT_KERNELS:
            wrong[f"a kernel from a room without kernels: {i}"] = None
    return list(wrong)


def lazy_imports(imports: Iterable[Import]) -> tuple[list[Import], list[Import]]:
    """Imports inside functions: (those that count, those of optional packages)."""
    lazy = [i for i in imports if i.lazy and i.other != COMPUTED]
    optional = [i for i in lazy if i.other.split(".")[0] in OPTIONAL + LATE]
    return [i for i in lazy if i not in optional], optional


def wrong_lazy(imports: Iterable[Import], reasons: dict[tuple[str, str], str] = LAZY) -> list[str]:
    """Imports inside functions without a reason, reasons without an import, and too many of both."""
    counted = {(i.module, i.other): i for i in lazy_imports(imports)[0]}
    wrong = [f"inside a function: {i}" for key, i in counted.items() if key not in reasons]
    wrong += [f"in LAZY, but no longer there: {module} imports {other}" for module, other in reasons if (module, other) not in counted]
    if len(counted) > MOST_LAZY:
        wrong.append(f"{len(counted)} imports inside functions, at most {MOST_LAZY}")
    return wrong


def wrong_circles(imports: list[Import]) -> list[str]:
    """Circles of rooms and of files, each with the imports of a shortest one."""
    wrong = []
    for what, edges, name in (("rooms", room_edges(imports), room), ("files", file_edges(imports), str)):
        for nodes in circles(edges):
            path = shortest_circle(edges, nodes)
            wrong.append(f"circle of {len(nodes)} {what}: {', '.join(nodes)}")
            for a, b in zip(path, [*path[1:], path[0]], strict=True):
                first = next(i for i in imports if is_own(i.other) and name(i.module) == a and name(i.other) == b)
                wrong.append(f"    {first}{', inside a function' if first.lazy else ''}")
    return wrong


# The picture --------------------------------------------------------------------------------------------------------------


def reduced(edges: Edges) -> Edges:
    """The edges without those that a longer way makes needless; within a circle every edge stays."""
    reach = {n: reachable(edges, n) for n in edges}

    def needless(a: str, b: str) -> bool:
        return any(b in reach.get(c, ()) and a not in reach.get(c, ()) and c not in reach.get(b, ()) for c in edges[a] if c != b)

    return {a: {b for b in others if not needless(a, b)} for a, others in edges.items()}


def picture(imports: Iterable[Import]) -> str:
    """The rooms as a Mermaid drawing: a box for each layer, an arrow from a room to each that it imports and does not reach otherwise."""
    edges = {a: others - {"tlean"} for a, others in room_edges(imports).items() if a not in ("tlean", "__main__")}
    rooms = {*edges, *(o for others in edges.values() for o in others)}
    layered = [[r for r in layer if r in rooms] for layer in LAYERS]
    layered += [["_core"] if "_core" in rooms else [], sorted(rooms - {r for layer in layered for r in layer} - {"_core"})]
    names = [f"layer {n}" for n in range(len(LAYERS))] + ["core", "no layer"]
    rows = ["```mermaid", "flowchart TB"]
    for name, layer in zip(names, layered, strict=True):
        if layer:
            rows += [f'  subgraph {name.replace(" ", "_")}["{name}"]', *(f'    {r}["{r}"]' for r in layer), "  end"]
    rows += [f"  {a} --> {b}" for a, others in sorted(reduced(edges).items()) for b in sorted(others)]
    return "\n".join([*rows, "```"])


def with_picture(text: str, drawn: str) -> str:
    """A text with the drawing between its two marker comments. Raises: ValueError where they are missing."""
    before, begin, rest = text.partition(MARKERS[0])
    _, end, after = rest.partition(MARKERS[1])
    if not begin or not end:
        raise ValueError(f"no place for the picture: the lines {MARKERS[0]} and {MARKERS[1]} are needed")
    return f"{before}{begin}\n{drawn}\n{end}{after}"


# The report ---------------------------------------------------------------------------------------------------------------


def report(imports: list[Import]) -> tuple[str, int]:
    """(the report, how many rules are broken)."""
    counted, optional = lazy_imports(imports)
    sections = {
        "Circles": wrong_circles(imports),
        "Layers": wrong_layers(imports),
        "Imports inside functions": wrong_lazy(imports),
        "Sizes": wrong_sizes(),
    }
    rows = []
    for title, wrong in sections.items():
        rows += [title, *(f"  {w}" for w in wrong or ["nothing is wrong"]), ""]
    packages = [module_name(p) for p in sources() if p.endswith("__init__.py")]
    within = [c for c in circles(package_edges(imports, packages)) if len({room(p) for p in c}) == 1]
    notes: dict[str, list[str]] = {
        "Optional packages and what is long to import, imported inside functions": list(map(str, optional)),
        "Imports of a computed name, which are not followed": [str(i) for i in imports if i.other == COMPUTED],
        "Circles of packages inside a room": [", ".join(c) for c in within],
    }
    for title, entries in notes.items():
        rows += [f"{title} (allowed)", *(f"  {e}" for e in entries), ""]
    internal = {(i.module, i.other) for i in counted if is_own(i.other)}
    others = {(i.module, i.other) for i in counted} - internal
    edges = room_edges(imports)
    broken = sum(len([w for w in wrong if not w.startswith(" ")]) for wrong in sections.values())
    rows.append(
        f"{len(edges)} rooms, {sum(map(len, edges.values()))} edges; circles: {len(circles(edges))} of rooms, "
        f"{len(circles(file_edges(imports)))} of files; imports inside functions: {len(internal)} of tlean, {len(others)} of others, "
        f"{len(optional)} optional; {broken} findings"
    )
    return "\n".join(rows), broken


def main(argv: list[str] | None = None) -> int:
    """Run the command line. Returns: 1 where a rule is broken, else 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the rooms between the two marker comments of this file")
    parser.add_argument("--edges", action="store_true", help="list which room imports which, too")
    arguments = parser.parse_args(argv)
    imports = every_import()
    if arguments.picture:
        try:
            arguments.picture.write_text(with_picture(arguments.picture.read_text(), picture(imports)))
        except (OSError, ValueError) as error:
            parser.error(f"{arguments.picture}: {error}")
        return 0
    if arguments.edges:
        for here, others in sorted(room_edges(imports).items()):
            print(f"{here} -> {', '.join(sorted(others))}")
        print()
    text, broken = report(imports)
    print(text)
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
