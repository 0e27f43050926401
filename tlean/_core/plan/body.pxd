"""Bodies of loops as rows of calls; see body.pyx."""
from libc.stdint cimport int64_t

from tlean._core.plan.plan cimport Place, Plan

# An output of a body that is one of its inputs: it is copied.
ctypedef struct Copy:
    int source
    int target
    int64_t bytes

ctypedef struct Call:
    void* run
    int kind
    int instruction         # of the plan
    int n_out
    int n_operands
    int64_t count
    int64_t bytes           # of an element, or of a piece
    const int64_t* ints
    const double* floats

# An operand that is packed once for all steps.
ctypedef struct Pack:
    void* run
    Place source
    int64_t at
    const int64_t* ints

ctypedef struct Body:
    Call* calls
    int n_calls
    Pack* packs
    int n_packs
    Place* places           # of each operand of each call
    int n_operands
    void** constants
    Copy* copies
    int n_copies
    int64_t steps           # between two looks at the clock


# The pointers of the first step: of each operand, then where each copy is from and to.
cdef void fill(Body* body, void** table, void** inputs, void** outputs, char* scratch) noexcept nogil

# One step: TL_OK, or (instruction << TL_STATUS_BITS) | status.
cdef int run_once(Body* body, void** table) noexcept nogil

# Packs what a run packs; `inputs` are those of its first step.
cdef void prepare(Body* body, void** inputs, char* scratch) noexcept nogil
