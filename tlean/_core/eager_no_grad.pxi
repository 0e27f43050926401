# `no_grad`: whether ops record what they do.

# How many no_grad blocks are open anywhere: while it is 0 nobody pays for the look-up of the context's own flag.
cdef int _blocks_open = 0
cdef object _depth = ContextVar("tlean_no_grad_depth", default=0)


@cython.freelist(4)
cdef class no_grad:
    """A context in which ops compute values and record nothing. It belongs to the current context (thread, task).

    As a decorator, `@tl.no_grad()`, it does so for every call of a function.
    """

    def __call__(self, f):
        """The function with its calls under no_grad. Raises: OptionError for what is no plain function: a generator runs between calls."""
        if not callable(f) or inspect.isgeneratorfunction(f) or inspect.iscoroutinefunction(f) or inspect.isasyncgenfunction(f):
            raise_error("OptionError", f"no_grad: it decorates a plain function, got {f!r}; write `with tl.no_grad():` inside of it")

        @functools.wraps(f)
        def quiet(*args, **options):
            with no_grad():
                return f(*args, **options)

        return quiet

    def __enter__(self):
        global _blocks_open
        _move_depth(1)
        _blocks_open += 1
        return self

    def __exit__(self, kind, value, trace):
        # A generator may be closed in another context than it was entered in: that one's depth stays 0.
        global _blocks_open
        _move_depth(-1)
        _blocks_open = max(_blocks_open - 1, 0)


def without_tape(function, *arguments):
    """`function(*arguments)` in a `no_grad` context that ends with the call, whatever line of Python an exception comes from."""
    cdef no_grad block = no_grad()
    block.__enter__()
    try:
        return function(*arguments)
    finally:
        block.__exit__(None, None, None)


cdef void _move_depth(int by) except *:
    PyContextVar_Set(_depth, max(<int>get_value(_depth, 0) + by, 0))


cpdef bint recording() noexcept:
    return _blocks_open == 0 or <int>get_value(_depth, 0) == 0
