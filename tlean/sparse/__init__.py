"""Sparse matrices as operands of programs: `CSR`, products with vectors and matrices, linear systems; SciPy's matrices in and out.

The numbers of a matrix are an array with derivatives; where they are is fixed.
"""

from .jacobians import sparse_hessian, sparse_jacobian
from .matrix import CSR, from_dense, from_scipy
from .products import spmm, spmv
from .solving import sparse_solve

__all__ = ["CSR", "from_dense", "from_scipy", "sparse_hessian", "sparse_jacobian", "sparse_solve", "spmm", "spmv"]
