"""Calls drawn at random against NumPy: broadcasting, dtypes, reductions, indexing. `make cases` draws 20,000 new ones."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from index_keys import drawn
from numpy_cases import choices, judge, pairs, reads, reductions, updates


@drawn(500)
@given(st.one_of(pairs(), pairs(), choices(), reductions(), reductions(), reads(), updates()))
def test_a_call_is_numpys(case):
    judge(case)
