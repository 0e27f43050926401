"""Bodies of loops as rows of calls; see body.pyx."""
from libc.stdint cimport int64_t

from tlean._core.plan.plan cimport Place, Plan

# An output of a body that is one of its inputs: it is copied.
ctypedef struct Copy:
    int source
    int target
    int64_t bytes

# What a call is: a loop over `count` elements; a kernel; a move of `bytes`; a producer, whose parts wait for the whole; a number
# spread over elements of `bytes`; a row of `bytes`, so many times; another
# stretched operand, written out; operands of `bytes` collected side by side, and dealt out again.
cdef enum:
    LOOP, KERNEL, MOVE, PRODUCER, SPREAD, REPEATED, STRETCHED, COLLECT, DEAL

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

# An entry of a table that is not in the work block: number n of the inputs, of the outputs or of the constants, and bytes from there.
ctypedef struct Outside:
    int entry
    int n
    int64_t at

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
    int64_t* at             # how many bytes it begins behind its place
    int n_operands
    int64_t* inside         # where each operand is in the work block; 0 for those that are elsewhere
    Outside* outside        # so many inputs, then outputs, then constants, then operands that are absent
    int n_outside[4]
    void** constants
    Copy* copies
    int n_copies
    int64_t steps           # between two looks at the clock
