"""The documentation's site: links and anchors lead somewhere, the menu has every page, docstrings become sections. mkdocs is not needed."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest

import tlean as tl
from tools import gallery, site

ROOT = Path(__file__).parents[2]
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), *(ROOT / name for name in ("README.md", *site.BESIDE))]
LINK = re.compile(r"\[[^\]]*\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)")


def unfenced(text: str) -> str:
    return re.sub(r"^( *)```.*?^\1```", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", unfenced(page.read_text()), re.MULTILINE)
    words = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower() for title in titles)
    return {re.sub(r"[^\w\- ]", "", title).strip().replace(" ", "-") for title in words}


def dead(page: Path) -> list[str]:
    """The links and pictures of a page that lead nowhere."""
    found = []
    for target, anchor in LINK.findall(re.sub(r"`[^`\n]*`", "", unfenced(page.read_text()))):
        file = (page.parent / target).resolve() if target else page
        # The reference is written with the site; `make site` checks the links to it.
        if "api" in Path(target).parts:
            continue
        if not file.exists() or (anchor and anchor not in anchors(file)):
            found.append(f"{target}#{anchor}")
    return found


@pytest.mark.parametrize("page", PAGES, ids=[str(p.relative_to(ROOT)) for p in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    assert not dead(page)


def test_a_dead_link_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A title\n[one](#a-title) [two](#none) [three](none.md) ![four](none.png)\n```\n[no](link.md)\n```\n")
    assert dead(page) == ["#none", "none.md#", "none.png#"]


def test_the_menu_has_every_page_and_no_other() -> None:
    menu = (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2]
    listed = re.findall(r"[\w./]+\.md", menu)
    docs = {str(p.relative_to(ROOT / "docs")) for p in (ROOT / "docs").rglob("*.md")}
    assert len(listed) == len(set(listed))
    assert set(listed) == docs | {name.lower() for name in site.BESIDE} | {f"api/{name or 'tlean'}.md" for name in site.MODULES}


def test_every_public_room_has_a_page() -> None:
    rooms = {name for name in tl.__all__ if isinstance(getattr(tl, name), ModuleType)}
    # The functions of `train` are `tlean`'s own.
    assert rooms - set(site.MODULES) == {"train"}


DOCSTRING = """Sum: y = a + b. Raises: ShapeError if they do not broadcast.

    Some more, in
    two lines:
    - a list

    Args:
        a, b: arrays
            of any shape.
        **options: of `this`: and that.

    Returns: the sum,
        on two lines.

    Example::

        >>> f(1)
        Args: no section

    Raises:
        ShapeError: one.
        DTypeError: another.
    Source: Author 1999.

    The end.
    """


def test_docstrings_become_sections() -> None:
    text = site.converted(DOCSTRING)
    assert text.split("\n\n") == [
        "Sum: y = a + b.",
        "**Raises**: ShapeError if they do not broadcast.",
        "Some more, in\ntwo lines:",
        "- a list",
        "**Args**",
        "- `a, b`: arrays of any shape.\n- `**options`: of `this`: and that.",
        "**Returns**: the sum, on two lines.",
        "**Example**",
        "```pycon\n>>> f(1)\nArgs: no section\n```",
        "**Raises**",
        "- `ShapeError`: one.\n- `DTypeError`: another.",
        "**Source**: Author 1999.",
        "The end.\n",
    ]


def test_the_reference(tmp_path: Path) -> None:
    """Every public name is in it, and no docstring is left as it was."""
    site.write_sources(tmp_path / "sources")
    api = {page.stem: page.read_text() for page in (tmp_path / "sources" / "api").glob("*.md")}
    titles = set(re.findall(r"^## (\w+)$", api["tlean"] + api["functions"], re.MULTILINE))
    assert {name for name in tl.__all__ if callable(getattr(tl, name))} <= titles
    for name, text in api.items():
        raw = re.search(rf"^ *(?:{site._TITLES})::?.*$", unfenced(text), re.MULTILINE)
        assert not raw, f"api/{name}.md: {raw[0]}"
    assert "### normal" not in api["stats"] and "### logpdf" in api["stats"]
    # A list after a paragraph is one, and links to files of the repository are text.
    assert "[Loops](../loops.md)" in (tmp_path / "sources" / "examples" / "heat_control.md").read_text()
    contributing = (tmp_path / "sources" / "contributing.md").read_text()
    assert "(reliability.md)" in contributing and "(docs/" not in contributing


def test_the_gallery_shows_every_example() -> None:
    cards, text = gallery.cards(), gallery.PAGE.read_text()
    examples = {str(p.relative_to(ROOT)) for folder in ("examples", "examples/science") for p in (ROOT / folder).glob("*.py")}
    assert set(re.findall(r"`python (\S+\.py)", text)) == examples - {"examples/common.py"}
    assert len(cards) == text.count("![") > 20
    assert all((ROOT / card.command[0]).exists() for card in cards)
    sizes = {p.name: p.stat().st_size for p in (ROOT / "docs").rglob("*") if p.suffix in (".png", ".svg")}
    assert max(sizes.values()) <= gallery.BYTES and sum(sizes.values()) <= gallery.IN_ALL
