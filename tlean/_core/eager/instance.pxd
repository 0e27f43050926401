"""Instances: one op at given shapes, dtype and options, interned; what runs forward, and the traced plan of what runs backward."""
from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from tlean._core.arena cimport TLBuffer
from tlean._core.array cimport ShapeInfo
from tlean._core.kernel cimport tl_kernel
from tlean._core.plan.plan cimport Plan

cdef enum:
    TL_MAX_RESIDUALS = 4
    TL_NEAR = 32         # operand lists up to this length are gathered on the stack

# Below this many nanoseconds of work, giving the GIL up and taking it again costs more than it brings.
cdef enum:
    RELEASE_GIL_NS = 20000


cdef class Instance:
    """One op at given shapes, dtype and options: what runs forward, and what runs backward."""
    cdef readonly object record
    cdef readonly str name
    cdef readonly dict options
    cdef readonly tuple specs
    cdef ShapeInfo shape
    cdef int dtype
    cdef Py_ssize_t nbytes
    cdef int n_in
    cdef int n_res
    cdef Py_ssize_t res_nbytes[4]
    cdef tl_kernel kernel
    cdef int64_t* ints
    cdef double* floats
    cdef readonly Plan plan
    cdef bint view
    cdef bint quick             # one short kernel, few operands: nothing to prepare, no reason to give up the GIL
    cdef bint differentiable
    cdef readonly double work
    cdef object make_vjp
    cdef PyObject* vjp_small[16]
    cdef dict vjp_plans
    # While a profile runs: nanoseconds and calls of the kernel.
    cdef int64_t ticks
    cdef int64_t calls
    cdef int64_t profile        # the profile that these belong to
    cdef Plan vjp(self, unsigned long long mask)
    cdef Plan vjp_of(self, object mask)


# Runs the instance's forward on inputs; fills value and (where res is not NULL) residuals with fresh buffers. 0, or -1 with an error set.
cdef int run_forward(Instance inst, TLBuffer** inputs, TLBuffer** value, TLBuffer** res) except -1

# Counts an instance that ran while a profile is on.
cdef void see(Instance inst)

# A hashable stand-in for an option, by which calls that mean the same are found again.
cpdef object option_key(object value)

# Zeroed memory; raises MemoryError.
cdef void* grab(Py_ssize_t n) except NULL
