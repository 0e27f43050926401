"""Linear algebra on stacks of matrices: the ops `linalg_<name>` as functions `<name>`.

Matrices are the last two axes of an array; those before are a batch.
"""

from .functions import linalg_cholesky as cholesky
from .functions import linalg_cholesky_solve as cholesky_solve
from .functions import linalg_det as det
from .functions import linalg_inv as inv
from .functions import linalg_logdet as logdet
from .functions import linalg_lu as lu
from .functions import linalg_lu_factor as lu_factor
from .functions import linalg_slogdet as slogdet
from .functions import linalg_solve as solve
from .functions import linalg_solve_triangular as solve_triangular

__all__ = ["cholesky", "cholesky_solve", "det", "inv", "logdet", "lu", "lu_factor", "slogdet", "solve", "solve_triangular"]
