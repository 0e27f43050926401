"""Finds words that the text of this project avoids: in comments, docstrings, messages and pages. Fails if there are any.

    python tools/words.py              # every place, with what to write instead
    python tools/words.py tlean/nn     # in these files and folders

A phrase is found across the ends of lines too. The code itself is searched with its comments and strings.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import PurePosixPath

from source import read, tracked

#: Word or phrase (a regular expression, in lower case) -> what to write instead.
RETIRED: dict[str, str] = {
    r"anew": "again",
    r"somebody": "another thread, the caller, a user: say who",
    r"nobody": "no caller, no thread, nothing: say who",
    r"whoever": "a caller that, code that: say who",
    r"ever other": "a different ... each time",
    r"in vain": "without effect, unsuccessfully",
    r"of (?:its|our|their|your|one's|his|her|my) own": "its own ..., a separate ...",
    r"stands?(?!-| out)": "is, are, is written, is stored; `stands for`: means",
    r"asks for": "requests, needs, calls",
    r"asking for": "requesting",
    r"what there is": "what exists, the contents: name it",
    r"so-and-so": "name it",
}
#: Where a word is meant literally: (path, the words as they are written) -> why.
LITERAL: dict[tuple[str, str], str] = {}
#: Files that hold the words because they are about them.
ABOUT = ("tools/words.py", "tests/project/test_layout.py")
ENDINGS = {".py", ".pyi", ".pyx", ".pxd", ".pxi", ".h", ".c", ".cu", ".cpp", ".md", ".toml", ".sh", ".yaml", ".yml", ".in", ""}

#: Between the words of a phrase: white space, and what begins a line of a comment.
_GAP = r"(?:[\s#*]|//)+"
_PATTERN = re.compile("|".join(rf"\b(?:{p.replace(' ', _GAP)})\b" for p in RETIRED), re.IGNORECASE)


def places(text: str) -> Iterator[tuple[int, str]]:
    """(line, the words) of every retired word or phrase of a text."""
    for match in _PATTERN.finditer(text):
        yield text.count("\n", 0, match.start()) + 1, re.sub(_GAP, " ", match.group())


def advice(words: str) -> str:
    """What to write instead of words that were found."""
    return next(instead for pattern, instead in RETIRED.items() if re.fullmatch(pattern, words, re.IGNORECASE))


def wrong_words(under: tuple[str, ...] = ()) -> list[str]:
    """The places of every tracked file of text, or of those under some folders, and allowances that are no longer needed."""
    wrong: list[str] = []
    used: set[tuple[str, str]] = set()
    for path in tracked():
        if path in ABOUT or PurePosixPath(path).suffix not in ENDINGS or not path.startswith(under or ("",)):
            continue
        for line, words in places(read(path)):
            if (path, words) in LITERAL:
                used.add((path, words))
            else:
                wrong.append(f"{path}:{line}: {words!r}: {advice(words)}")
    return wrong if under else wrong + [f"in LITERAL, but no longer there: {key}" for key in LITERAL if key not in used]


def main(argv: list[str] | None = None) -> int:
    """Run the command line. Returns: 1 where a retired word is used, else 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("under", nargs="*", help="search only files whose paths from the root begin with one of these")
    wrong = wrong_words(tuple(parser.parse_args(argv).under))
    print("\n".join([*wrong, f"{len(wrong)} retired words"]))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
