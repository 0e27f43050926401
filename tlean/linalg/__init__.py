"""Linear algebra on stacks of matrices: the ops `linalg_<name>` as functions `<name>`.

Matrices are the last two axes of an array; those before are a batch.
"""

from ..functions import linalg_cholesky as cholesky
from ..functions import linalg_cholesky_solve as cholesky_solve
from ..functions import linalg_cond as cond
from ..functions import linalg_cross as cross
from ..functions import linalg_det as det
from ..functions import linalg_eigh as eigh
from ..functions import linalg_eigvalsh as eigvalsh
from ..functions import linalg_expm as expm
from ..functions import linalg_inv as inv
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
from ..functions import linalg_solve as solve
from ..functions import linalg_solve_triangular as solve_triangular
from ..functions import linalg_svd as svd
from ..functions import linalg_svdvals as svdvals
from ..functions import linalg_vecdot as vecdot

__all__ = [
    "cholesky",
    "cholesky_solve",
    "cond",
    "cross",
    "det",
    "eigh",
    "eigvalsh",
    "expm",
    "inv",
    "logdet",
    "lstsq",
    "lu",
    "lu_factor",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "multi_dot",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_triangular",
    "svd",
    "svdvals",
    "vecdot",
]
