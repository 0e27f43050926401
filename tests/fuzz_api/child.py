"""The process that makes calls: it says the number before each and the verdict after it, one line each, to its standard output."""

from __future__ import annotations

import json
import linecache
import os
import re
import resource
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from tlean.errors import TleanError

from . import world
from .draw import Call, draw
from .targets import find

#: Bytes of memory that a child may have beyond what it began with (a sanitizer reserves terabytes of addresses).
MEMORY = 3 << 30

# What Python says of a call that has too many, too few or unknown arguments.
_SIGNATURE = re.compile(
    r"missing \d+ required|takes (from |exactly |at most |at least |no |\d)|unexpected keyword|multiple values for|positional argument"
    r"|required (positional|keyword)|expected \d+ argument|expected at (most|least) \d+|got some positional-only"
)


def allowed(error: BaseException, call: Call) -> bool:
    """Whether a call may answer with this error."""
    # Memory and the depth of Python's stack have an end.
    if isinstance(error, TleanError | MemoryError | RecursionError | world.Own):
        return True
    text = str(error)
    if isinstance(error, TypeError) and _SIGNATURE.search(text):
        return True
    if isinstance(error, NotImplementedError) and "has no forward" in text:
        return True
    if isinstance(error, ImportError) and "pip install" in text:
        return True
    files = any(word in call.target.name for word in ("read_", "write_", "save", "load", "fit", "plot", "curves", "show"))
    if isinstance(error, OSError) and files:
        return True
    return _own(error)


def _own(error: BaseException) -> bool:
    # An error of a program, or of a value that lies, goes through tlean: the last frame of either says whose it is.
    here = Path(__file__).parent
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if Path(frame.filename).parent == here:
            # `in_threads` passes on what the call raised.
            if frame.name in ("work", "in_threads"):
                continue
            return Path(frame.filename).name == "world.py"
        if "tlean" in frame.filename.replace("\\", "/").split("/"):
            return _in_a_given_function(error)
    return False


#: Functions that a call may give to tlean and that leave no frame: what one raises is the caller's own error.
_GIVEN = (float, type, np.float32)


def _in_a_given_function(error: BaseException) -> bool:
    # Whether the last frame was calling one of them: the instruction's text is a call of a name that holds it there.
    tb = error.__traceback__
    while tb is not None and tb.tb_next is not None:
        tb = tb.tb_next
    if tb is None:
        return False
    code = tb.tb_frame.f_code
    line, end, first, last = list(code.co_positions())[tb.tb_lasti // 2]
    if line is None or line != end:
        return False
    text = linecache.getline(code.co_filename, line).encode()[first:last].decode()
    called = re.match(r"(\w+)((?:\.\w+)*)\(", text)
    if called is None or called[1] not in tb.tb_frame.f_locals:
        return False
    function = tb.tb_frame.f_locals[called[1]]
    for name in called[2].split(".")[1:]:
        function = getattr(function, name, None)
    return any(function is given for given in _GIVEN)


def where(error: BaseException) -> str:
    """The last frame that is tlean's."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        parts = frame.filename.replace("\\", "/").split("/")
        if "tlean" in parts and "fuzz_api" not in parts:
            return f"{'/'.join(parts[len(parts) - parts[::-1].index('tlean') - 1 :])}:{frame.name}"
    return "the call itself"


def attempt(call: Call) -> dict[str, str] | None:
    """Make a call. Returns: what is wrong with its answer, or None."""
    names: dict[str, Any] = {n: getattr(world, n) for n in world.__all__}
    try:
        exec(call.setup, names)
        made = eval(call.text, names)
        # What it made can be looked at.
        repr(made) if not isinstance(made, np.ndarray) else made.shape
    except (KeyboardInterrupt, SystemExit) as error:
        return {"error": type(error).__name__, "words": str(error), "where": where(error)}
    except BaseException as error:
        if allowed(error, call):
            return None
        return {"error": type(error).__name__, "words": str(error)[:300], "where": where(error)}
    return None


def main() -> None:
    """Make the calls `sys.argv[2]` to `sys.argv[3]` of the seed `sys.argv[1]`, of those areas and names that match `sys.argv[4]`."""
    seed, first, last, only = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    # The channel to the parent; whatever a call prints goes nowhere.
    out = os.fdopen(os.dup(1), "w")
    void = os.open(os.devnull, os.O_RDWR)
    for handle in (0, 1, 2):
        os.dup2(void, handle)
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    targets = [t for t in find() if re.search(only, f"{t.area} {t.name}")]
    statm = Path("/proc/self/statm")
    limit = MEMORY + (int(statm.read_text().split()[0]) * resource.getpagesize() if statm.exists() else 0)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number in range(first, last):
        out.write(f"{number}\n")
        out.flush()
        found = attempt(draw(targets, seed, number))
        if found:
            out.write(json.dumps(found) + "\n")
            out.flush()
    out.write("end\n")
    out.flush()


if __name__ == "__main__":
    main()
