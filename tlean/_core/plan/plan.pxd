"""A plan: kernels in order, each with its operands' places; run by one call that needs no GIL."""
from libc.stdint cimport int64_t

from tlean._core.array cimport AnyTensor
from tlean._core.kernel cimport tl_kernel

# Where the memory of a value of a plan is.
cpdef enum:
    AT_INPUT = 0      # the caller's input number n
    AT_OUTPUT = 1     # the caller's output number n
    AT_SCRATCH = 2    # n bytes into the scratch block
    AT_CONST = 3      # constant number n of the plan
    AT_NOWHERE = 4    # never read: the kernel gets NULL

# How output number j comes about.
cpdef enum:
    OUT_NONE = 0      # there is none (no gradient)
    OUT_COMPUTED = 1  # an instruction writes it
    OUT_INPUT = 2     # it is input number n itself, under the output's shape

ctypedef struct Place:
    int kind
    int64_t n

ctypedef struct Instruction:
    tl_kernel kernel
    int n_out
    int n_in
    int first          # of its operands (outputs, then inputs) in the plan's operand list
    int64_t* ints
    double* floats


cdef class Plan:
    cdef Instruction* instructions
    cdef int n_instructions
    cdef int* operands
    cdef Place* places
    cdef int n_places
    cdef readonly int n_inputs
    cdef readonly int n_outputs
    cdef int* out_kind
    cdef int* out_input
    cdef int* out_writer        # the instruction that may add into output j directly, or -1
    cdef void** constants
    # What each input is: its dtype's code, its shape (an interned ShapeInfo), whether an instruction reads it. Every run is checked by it.
    cdef bint typed
    cdef int* in_code
    cdef tuple in_shape
    cdef unsigned char* in_read
    # The first instruction that writes onto parameters: from there on a run goes to its end.
    cdef int first_update
    cdef int state_inputs(self, specs) except -1
    cdef refuse(self, int i, AnyTensor t)
    cdef readonly Py_ssize_t scratch_bytes
    cdef readonly double work
    cdef readonly object program
    cdef object keep
    # While a profile runs: nanoseconds of each instruction, and how often the plan ran.
    cdef int64_t* ticks
    cdef int64_t runs
    cdef int64_t profile        # the profile that these belong to


# The profile that is running, by number; 0 while there is none.
cdef int64_t profiling


# Runs the plan: TL_OK, or (instruction << TL_STATUS_BITS) | status. Where accumulate[j] is set, output j is added to what is there: only
# where out_writer[j] >= 0. `scratch` has scratch_bytes bytes, 64-byte aligned.
cdef check_status(Plan plan, int status)

# Lets the handlers of signals run that came meanwhile; whether one raised.
cdef bint interrupted() noexcept with gil

# Notes which instruction (-1: none) and which iteration of a loop's body failed, for the error that the thread's plan is about to raise.
cdef void failed_inside(void* body, int instruction, int64_t iteration) noexcept with gil

cdef int plan_run(Plan plan, void** inputs, void** outputs, const unsigned char* accumulate, char* scratch) noexcept nogil
