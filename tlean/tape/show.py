"""Tapes to look at: a line for every node, Graphviz text, and an SVG drawing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tlean.files import replacing

from .drawing import draw
from .shown import box_text, gradient_norms, nodes

if TYPE_CHECKING:
    from .tape import Tape

# Seconds that Graphviz may take; it gives up on huge tapes long after our own layout is done.
_PATIENCE = 20


def to_dot(tape: Tape, grads: Any = None) -> str:
    """The tape as Graphviz text: values flow downwards; leaves are tinted, nodes that take no gradient are dashed.

    Args:
        tape: what to describe.
        grads: gradients by node id, a list or a dict: their norms are shown where there are any.
    """
    norms = gradient_norms(grads, tape.size)
    lines = [
        "digraph tape {",
        "  graph [bgcolor=white, ranksep=0.35, nodesep=0.2];",
        '  node [shape=box, style="rounded,filled", fillcolor=white, color="#52606d", fontcolor="#1f2933"];',
        '  node [fontname="sans-serif", fontsize=10];',
        '  edge [color="#9aa5b1", arrowsize=0.6];',
    ]
    for n in nodes(tape):
        label = "\\n".join(_quoted(line) for line in box_text(n, norms))
        looks = [f'label="{label}"', f'tooltip="{_quoted(n.title)}"']
        if not n.parents:
            looks += ['color="#3b6fb6"', 'fillcolor="#eef4fb"']
        if not n.requires_grad:
            looks.append('style="rounded,filled,dashed"')
        lines.append(f"  n{n.id} [{', '.join(looks)}];")
        lines += [f"  n{p} -> n{n.id};" for p in n.parents]
    return "\n".join([*lines, "}"])


def _quoted(text: str) -> str:
    # Inside a quoted string Graphviz reads \ as an escape; a line feed would end the line of the label.
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")


def to_svg(tape: Tape, path: Any = None, grads: Any = None) -> str:
    """The tape as an SVG picture (text): a box a node, leaves above, each node below its parents.

    Graphviz lays it out where its `dot` is installed, and a layered layout of the library's own where it is not.

    Args:
        tape: what to draw.
        path: a file to write the picture to.
        grads: gradients by node id, a list or a dict: their norms are shown where there are any.

    Raises: OptionError where the path names no regular file; FileNotFoundError without its folder; OSError if it cannot be written.
    """
    picture = _by_graphviz(to_dot(tape, grads))
    if picture is None:
        picture = draw(list(nodes(tape)), gradient_norms(grads, tape.size))
    if path is not None:
        with replacing("show: path", path) as file:
            file.write_text(picture, encoding="utf-8")
    return picture


def _by_graphviz(text: str) -> str | None:
    # Imported when a picture is drawn, not with the library.
    import shutil
    import subprocess

    program = shutil.which("dot")
    if program is None:
        return None
    try:
        done = subprocess.run([program, "-Tsvg"], input=text.encode(), capture_output=True, check=True, timeout=_PATIENCE)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode()
