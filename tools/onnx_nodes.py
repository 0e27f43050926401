"""The node tests of ONNX through its own runner (`make onnx`): runs all, and writes the list of operators, docs/onnx_operators.md.

Needs onnx. Ends with 1 where a test fails that the backend does not refuse, or fewer pass than the least that is promised.
"""

from __future__ import annotations

import sys
import unittest
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "onnx_operators.md"
#: How many of the tests that are not of functions' bodies pass at least.
LEAST = 1300


def counted(cases: Any, refused: list[str], step: int = 1) -> tuple[dict[str, Counter], dict[str, str]]:
    """Run the runner's tests one by one.

    Args:
        cases: the runner's test case of nodes.
        refused: gets the backend's refusals.
        step: run every so many-th.

    Returns: by operator how many passed, were refused, failed; and the failures' last lines.
    """
    counts: dict[str, Counter] = {}
    failures: dict[str, str] = {}
    names = [n for n in unittest.defaultTestLoader.getTestCaseNames(cases) if "_expanded" not in n and not n.endswith("_cuda")]
    for name in names[::step]:
        test = cases(name)
        refused.clear()
        result = unittest.TestResult()
        test.run(result)
        bad = [text for _, text in (*result.errors, *result.failures)]
        kind = "failed" if bad else "refused" if refused else "passed"
        counts.setdefault(operator_of(name), Counter())[kind] += 1
        if bad:
            failures[name] = bad[0].strip().splitlines()[-1]
    return counts, failures


_OPERATORS: dict[str, str] = {}


def operator_of(name: str) -> str:
    """The operator that a test is of.

    Args:
        name: of the test, with its device.
    """
    if not _OPERATORS:
        from onnx.backend.test.loader import load_model_tests

        for case in load_model_tests(kind="node"):
            kinds = sorted({n.op_type for n in case.model.graph.node}) if case.model is not None else []
            _OPERATORS[f"{case.name}_cpu"] = kinds[0] if len(kinds) == 1 else " with ".join(kinds)
    return _OPERATORS.get(name, name)


def runner(refused: list[str]) -> Any:
    """ONNX's test case of nodes for the backend.

    Args:
        refused: gets the refusals while tests run.
    """
    from onnx.backend.test import BackendTest
    from onnx.backend.test.runner import BackendIsNotSupposedToImplementIt

    from tlean.interop.onnx.backend import Prepared, TleanBackend

    class Rep(Prepared):
        def run(self, inputs: Any, **kwargs: Any) -> Any:
            try:
                return super().run(inputs)
            except BackendIsNotSupposedToImplementIt as error:
                refused.append(str(error))
                raise

    class Counting(TleanBackend):
        @classmethod
        def prepare(cls, model: Any, device: str = "CPU", **kwargs: Any) -> Any:
            try:
                return Rep(super().prepare(model, device).program)
            except BackendIsNotSupposedToImplementIt as error:
                refused.append(str(error))
                raise

    return BackendTest(Counting, __name__).test_cases["OnnxBackendNodeModelTest"]


def page(counts: dict[str, Counter]) -> str:
    """The list as Markdown.

    Args:
        counts: as `counted` returns them.
    """
    passed = sum(c["passed"] for c in counts.values())
    total = sum(c.total() for c in counts.values())
    lines = [
        "# Operators of ONNX\n",
        f"`tl.onnx.load` runs {passed} of the {total} node tests of ONNX (those of operators, not of the bodies of functions). Those it",
        "refuses are of texts, of sequences and optional values, of random numbers, of results whose shape depends on data, or of what is",
        "named in the error. Written by `python -m tools.onnx_nodes`.\n",
        "| operator | tests that pass | refused |",
        "|---|---|---|",
    ]
    lines += [f"| {k} | {c['passed']} | {c['refused'] or ''} |" for k, c in sorted(counts.items()) if c["passed"]]
    absent = sorted(k for k, c in counts.items() if not c["passed"])
    return "\n".join([*lines, "", "Not read: " + ", ".join(absent) + ".", ""])


def main() -> int:
    """Run the tests, and write the page."""
    warnings.simplefilter("ignore")
    refused: list[str] = []
    counts, failures = counted(runner(refused), refused)
    passed = sum(c["passed"] for c in counts.values())
    total = sum(c.total() for c in counts.values())
    print(f"{passed} of {total} pass, {len(failures)} fail, {total - passed - len(failures)} are refused")
    for name, text in failures.items():
        print(f"{name}: {text}")
    PAGE.write_text(page(counts))
    return 1 if failures or passed < LEAST else 0


if __name__ == "__main__":
    sys.exit(main())
