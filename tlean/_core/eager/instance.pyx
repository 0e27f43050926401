"""Instances: one op at given shapes, dtype and options, interned; what runs forward, and the traced plan of what runs backward."""
from cpython.object cimport PyObject
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from tlean._core.arena cimport TLBuffer, buffer_decref, buffer_incref, buffer_new, raise_error
from tlean._core.array cimport TL_F64, dtype_code, intern_shape, itemsize_of
from tlean._core.array import dtype_name
from tlean._core.threads.clock cimport nanoseconds, tl_tally
from tlean._core.kernel cimport TL_INDEFINITE, TL_INDEX_OUT_OF_RANGE, TL_NO_MEMORY, TL_OK, TL_RAISED, TL_SINGULAR
from tlean._core.plan.callback import UNNOTED, take_failure
from tlean._core.plan.plan cimport OUT_INPUT, Plan, check_status, plan_run, profiling


cpdef object option_key(object value):
    """A hashable stand-in for an option, the same for options that mean the same and for no others: 0.0, -0.0, 0 and False are four.

    Floats go by their bits, NumPy's scalars by the number that they are, lists as tuples.
    """
    cdef double x
    cdef int64_t bits
    kind = type(value)
    if kind is int or kind is str or value is None:
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, float):
        x = value
        memcpy(&bits, &x, sizeof(double))
        return ("f", bits)
    if kind is bool:
        return ("b", value)
    if isinstance(value, (tuple, list)):
        return ("t", *[option_key(v) for v in value])
    if kind.__module__ == "numpy" and hasattr(value, "item") and not hasattr(value, "__setitem__"):
        plain = value.item()
        if type(plain) is not kind:
            return option_key(plain)
    return (kind, value)


def options_key(dict options):
    """`option_key` of named options, in their order."""
    return tuple([(k, option_key(v)) for k, v in options.items()])


def not_a_key(options):
    """What is wrong with options that are no key, of pairs of a name and a value: the first that cannot be one."""
    for name, value in options:
        try:
            hash(option_key(value))
        except (TypeError, ValueError):
            return f"{name} must be a number, a string or a sequence of them, got {type(value).__name__}"
    return f"options must be numbers, strings or sequences of them, got {options}"


cdef void* grab(Py_ssize_t n) except NULL:
    cdef void* p = calloc(n if n > 0 else 1, 1)
    if p == NULL:
        raise MemoryError()
    return p


cdef class Instance:
    """One op at given shapes, dtype and options: what runs forward, and what runs backward.

    Made by `tlean.compiler.lower`: either one kernel (address, ints, floats) or a plan runs forward; `make_vjp(instance, mask)` traces the
    op's rule when a backward pass first needs it, for the inputs whose bits are set.
    """

    def __cinit__(self, record, options, specs, shape, dtype, residuals=(), kernel=0, ints=(), floats=(), Plan plan=None, make_vjp=None,
                  double work=0.0):
        cdef int i
        self.record = record
        # Programs that were recorded elsewhere have a number behind an @, to tell them apart.
        self.name = record.name.partition("@")[0]
        self.options = options
        self.specs = specs
        self.n_in = len(specs)
        self.shape = intern_shape(tuple(shape))
        self.dtype = dtype_code(dtype)
        self.nbytes = self.shape.size * itemsize_of(self.dtype)
        self.view = record.view
        self.differentiable = record.differentiable and self.dtype <= TL_F64
        self.n_res = len(residuals)
        if self.n_res > TL_MAX_RESIDUALS:
            raise ValueError(f"{record.name}: at most {TL_MAX_RESIDUALS} residuals")
        for i, (res_shape, res_dtype) in enumerate(residuals):
            self.res_nbytes[i] = intern_shape(tuple(res_shape)).size * itemsize_of(dtype_code(res_dtype))
        self.kernel = <tl_kernel><size_t>kernel
        self.ints = <int64_t*>grab(len(ints) * sizeof(int64_t))
        for i, number in enumerate(ints):
            self.ints[i] = number
        self.floats = <double*>grab(len(floats) * sizeof(double))
        for i, real in enumerate(floats):
            self.floats[i] = real
        self.plan = plan
        self.work = work
        self.quick = self.kernel != NULL and work <= RELEASE_GIL_NS and 1 + self.n_res + self.n_in <= TL_NEAR
        self.make_vjp = make_vjp
        self.vjp_plans = {}

    def __dealloc__(self):
        free(self.ints)
        free(self.floats)

    cdef Plan vjp(self, unsigned long long mask):
        if mask < 16 and self.vjp_small[mask] != NULL:
            return <Plan>self.vjp_small[mask]
        return self.vjp_of(mask)

    cdef Plan vjp_of(self, object mask):
        # `mask` has a bit for every input, however many there are.
        plan = self.vjp_plans.get(mask)
        if plan is None:
            plan = self.make_vjp(self, mask)
            self.vjp_plans[mask] = plan
            if mask < 16:
                self.vjp_small[mask] = <PyObject*>plan     # the dict keeps it alive
        return <Plan?>plan

    @property
    def backward_plans(self):
        """The plans of vector-Jacobian products that were made so far."""
        return list(self.vjp_plans.values())

    @property
    def out_shape(self):
        """The output's shape."""
        return self.shape.dims

    @property
    def out_dtype(self):
        """The output's dtype, by name."""
        return dtype_name(self.dtype)

    def __repr__(self):
        arguments = ", ".join(["None" if s is None else str(s.shape) for s in self.specs])
        return f"<{self.name}({arguments}) -> {self.shape.dims}>"


# The instances that ran, forward or backward, since the profile began.
_profiled_instances = []


cdef void see(Instance inst):
    if inst.profile != profiling:
        inst.profile = profiling
        inst.ticks = inst.calls = 0
        _profiled_instances.append(inst)


def profile_instances():
    """The instances that ran since the profile began, and forgets them: (instance, nanoseconds, calls) of those with their own kernel,
    (instance, 0, 0) of those that run by plans."""
    found = [(i, (<Instance>i).ticks, (<Instance>i).calls) for i in _profiled_instances]
    _profiled_instances.clear()
    return found


cdef int run_forward(Instance inst, TLBuffer** inputs, TLBuffer** value, TLBuffer** res) except -1:
    cdef void* pointers[TL_NEAR]
    cdef int i, status, n_out = 1 + inst.n_res
    if inst.view:
        value[0] = buffer_incref(inputs[0])
        return 0
    if not inst.quick or res != NULL or profiling:
        return run_any(inst, inputs, value, res)
    value[0] = buffer_new(inst.nbytes)
    pointers[0] = value[0].data
    for i in range(1, n_out):
        pointers[i] = NULL
    for i in range(inst.n_in):
        pointers[n_out + i] = inputs[i].data if inputs[i] != NULL else NULL
    status = inst.kernel(pointers, pointers + n_out, inst.ints, inst.floats, 0)
    if status != TL_OK:
        buffer_decref(value[0])
        value[0] = NULL
        raise_failure(inst, status)
    return 0


cdef int raise_failure(Instance inst, int status) except -1:
    # What a kernel's status says went wrong.
    if status == TL_RAISED:
        error = take_failure()
        if error is None:
            raise_error("OptionError", f"{inst.name}: {UNNOTED}")
        raise error
    if status == TL_INDEX_OUT_OF_RANGE:
        arguments = ", ".join(inst.record.describe_arguments(inst.specs))
        raise_error("IndexRangeError", f"{inst.name}: an index or label is out of range, got {arguments}")
    if status == TL_SINGULAR or status == TL_INDEFINITE:
        arguments = ", ".join(inst.record.describe_arguments(inst.specs))
        wanted = "invertible" if status == TL_SINGULAR else "positive definite"
        raise_error("LinAlgError", f"{inst.name.lstrip('_')}: every matrix must be {wanted}, got {arguments}")
    if status != TL_NO_MEMORY:
        raise_error("OptionError", f"{inst.name}: a kernel must return a status of kernel.h, got {status}")
    raise MemoryError(f"{inst.name}: no memory for the kernel's temporaries")


cdef int run_any(Instance inst, TLBuffer** inputs, TLBuffer** value, TLBuffer** res) except -1:
    # `run_forward` of a long kernel, of a plan, with residuals, or while a profile is taken.
    cdef void* near[TL_NEAR]
    cdef void** pointers = near
    cdef int i, status, n_out = 1 + inst.n_res, total = 1 + inst.n_res + inst.n_in
    cdef TLBuffer* scratch = NULL
    cdef int64_t begun = 0
    if total > TL_NEAR:
        pointers = <void**>grab(total * sizeof(void*))
    value[0] = NULL
    if res != NULL:
        for i in range(inst.n_res):
            res[i] = NULL
    try:
        value[0] = buffer_new(inst.nbytes)
        pointers[0] = value[0].data
        for i in range(inst.n_res):
            if res != NULL:
                res[i] = buffer_new(inst.res_nbytes[i])
                pointers[1 + i] = res[i].data
            else:
                pointers[1 + i] = NULL
        for i in range(inst.n_in):
            pointers[n_out + i] = inputs[i].data if inputs[i] != NULL else NULL
        if profiling:
            see(inst)
            begun = nanoseconds()
        if inst.kernel != NULL:
            if inst.work > RELEASE_GIL_NS:
                with nogil:
                    status = inst.kernel(pointers, pointers + n_out, inst.ints, inst.floats, 0)
            else:
                status = inst.kernel(pointers, pointers + n_out, inst.ints, inst.floats, 0)
            if begun:
                tl_tally(&inst.ticks, nanoseconds() - begun)
                tl_tally(&inst.calls, 1)
            if status != TL_OK:
                raise_failure(inst, status)
        else:
            if inst.plan.scratch_bytes:
                scratch = buffer_new(inst.plan.scratch_bytes)
            if inst.work > RELEASE_GIL_NS:
                with nogil:
                    status = plan_run(inst.plan, pointers + n_out, pointers, NULL, <char*>scratch.data if scratch != NULL else NULL)
            else:
                status = plan_run(inst.plan, pointers + n_out, pointers, NULL, <char*>scratch.data if scratch != NULL else NULL)
            check_status(inst.plan, status)
            # An output that is an input under another shape: nothing was written.
            if inst.plan.out_kind[0] == OUT_INPUT:
                buffer_decref(value[0])
                value[0] = buffer_incref(inputs[inst.plan.out_input[0]])
    except BaseException:
        buffer_decref(value[0])
        value[0] = NULL
        if res != NULL:
            for i in range(inst.n_res):
                buffer_decref(res[i])
                res[i] = NULL
        raise
    finally:
        buffer_decref(scratch)
        if pointers != near:
            free(pointers)
    return 0
