"""Linear algebra on stacks of matrices: the ops `linalg_<name>` as functions `<name>`.

Matrices are the last two axes of an array; those before are a batch.
"""

from typing import TYPE_CHECKING

from ..functions import block_diag, diagonal, matmul, outer, tensordot, trace, vander
from ..functions import linalg_cholesky_solve as cholesky_solve
from ..functions import linalg_cond as cond
from ..functions import linalg_cross as cross
from ..functions import linalg_det as det
from ..functions import linalg_eigh as eigh
from ..functions import linalg_eigvalsh as eigvalsh
from ..functions import linalg_expm as expm
from ..functions import linalg_expm as matrix_exp
from ..functions import linalg_logdet as logdet
from ..functions import linalg_lstsq as lstsq
from ..functions import linalg_lu as lu
from ..functions import linalg_lu_factor as lu_factor
from ..functions import linalg_matrix_norm as matrix_norm
from ..functions import linalg_matrix_power as matrix_power
from ..functions import linalg_matrix_rank as matrix_rank
from ..functions import linalg_multi_dot as multi_dot
from ..functions import linalg_pinv as pinv
from ..functions import linalg_qr as qr
from ..functions import linalg_slogdet as slogdet
from ..functions import linalg_svd as svd
from ..functions import linalg_svdvals as svdvals
from ..functions import linalg_vecdot as vecdot
from ..later import names
from .checked import cholesky, inv, solve, solve_triangular

if TYPE_CHECKING:
    from ..solvers.systems import conjugate_gradient, custom_linear_solve
    from ..sparse.solving import sparse_solve
    from .forms import cholesky_inverse, lu_solve, matrix_transpose, norm, tensorinv, tensorsolve, vector_norm

__all__ = [
    "block_diag",
    "cholesky",
    "cholesky_inverse",
    "cholesky_solve",
    "cond",
    "conjugate_gradient",
    "cross",
    "custom_linear_solve",
    "det",
    "diagonal",
    "eigh",
    "eigvalsh",
    "expm",
    "inv",
    "logdet",
    "lstsq",
    "lu",
    "lu_factor",
    "lu_solve",
    "matmul",
    "matrix_exp",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "multi_dot",
    "norm",
    "outer",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_triangular",
    "sparse_solve",
    "svd",
    "svdvals",
    "tensordot",
    "tensorinv",
    "tensorsolve",
    "trace",
    "vander",
    "vecdot",
    "vector_norm",
]

# Solvers, which are imported when they are first named.
_LATER = dict.fromkeys(("conjugate_gradient", "custom_linear_solve"), "tlean.solvers.systems")
_LATER |= {"sparse_solve": "tlean.sparse.solving"}
_LATER |= dict.fromkeys(
    ("cholesky_inverse", "lu_solve", "matrix_transpose", "norm", "tensorinv", "tensorsolve", "vector_norm"), "tlean.linalg.forms"
)
if not TYPE_CHECKING:
    __getattr__, __dir__ = names(__name__, {}, _LATER)
