"""Linear algebra: matrices are batched over leading axes, and lanes are one more."""

from __future__ import annotations

from typing import Any

from .call import Call, batching, shaped


@batching(
    "_linalg_cholesky",
    "_linalg_factors",
    "_linalg_eigh",
    "_linalg_svd",
    "_linalg_qr",
    "_linalg_pinv",
    "_linalg_expm",
    "_linalg_lu_tall",
    "_linalg_complement",
)
def _of_one(call: Call) -> Any:
    return call.run(*call.inputs)


@batching("_linalg_det", "_linalg_logabsdet", "_linalg_sign", "_linalg_lu", "_linalg_rows")
def _of_factors(call: Call) -> Any:
    return call.run(call.spread(0), call.spread(1))


@batching("_linalg_solve_triangular")
def _triangular(call: Call) -> Any:
    rank = max(len(call.lane(0)), len(call.lane(1)))
    return call.run(call.aligned(0, rank), call.aligned(1, rank))


@batching("_linalg_cofactors")
def _cofactors(call: Call) -> Any:
    return call.run(*(call.spread(k) for k in range(len(call.inputs))))


@batching("_linalg_require")
def _require(call: Call) -> Any:
    rank = len(call.lane(0))
    return call.run(call.spread(0), *(call.aligned(k, rank) for k in (1, 2)))


@batching("_linalg_solve")
def _solve(call: Call) -> Any:
    rank, factors = max(len(call.lane(0)), len(call.lane(1))), call.inputs[2]
    if factors is None or not (call.batched[0] or call.batched[2]):
        return call.run(call.aligned(0, rank), call.aligned(1, rank), factors)
    lead = (call.size, *(1,) * (rank - len(call.lane(0))))
    a, factors = (shaped(call.ops, call.spread(k), (*lead, *call.lane(k))) for k in (0, 2))
    return call.run(a, call.aligned(1, rank), factors)
