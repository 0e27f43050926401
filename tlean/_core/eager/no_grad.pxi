# `no_grad`: whether ops record what they do.

# How many no_grad blocks are open anywhere: while it is 0 no call pays for the look-up of the context's own flag.
cdef int _blocks_open = 0
cdef object _innermost = ContextVar("tlean_no_grad", default=None)


@cython.freelist(4)
cdef class Block:
    # An open no_grad block; `closed` where there was no memory to take it off its context.
    cdef Block outer
    cdef bint closed


cdef Block innermost_block():
    cdef object found = get_value(_innermost)
    while found is not None and (<Block>found).closed:
        found = (<Block>found).outer
    return found


cdef void open_block() except *:
    global _blocks_open
    cdef Block block = Block.__new__(Block)
    block.outer = innermost_block() if _blocks_open else None
    PyContextVar_Set(_innermost, block)
    _blocks_open += 1


cdef void close_block() except *:
    # It ends in every case: a context that stays under no_grad would record nothing from then on.
    # A generator may be closed in another context than it was entered in: there is no block in that one.
    global _blocks_open
    cdef Block block = innermost_block()
    _blocks_open = max(_blocks_open - 1, 0)
    if block is None:
        return
    try:
        PyContextVar_Set(_innermost, block.outer)
    except MemoryError:
        block.closed = True


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
        open_block()
        return self

    def __exit__(self, kind, value, trace):
        close_block()


def without_tape(function, *arguments):
    """`function(*arguments)` in a `no_grad` context that ends with the call, whatever line of Python an exception comes from."""
    open_block()
    try:
        return function(*arguments)
    finally:
        close_block()


cpdef bint recording() noexcept:
    return _blocks_open == 0 or innermost_block() is None
