# What bodies of loops do with references of the programs around them.

# A body of a loop is recorded while its function runs: what that does with references of the programs around it belongs into the body. So
# that operators cost nothing elsewhere, a number says whether this process records any body now, on whichever thread.
cdef extern from *:
    """
    static long tl_bodies = 0;
    static inline void tl_bodies_add(long by) { __atomic_fetch_add(&tl_bodies, by, __ATOMIC_SEQ_CST); }
    """
    long tl_bodies
    void tl_bodies_add(long by)

cdef object _captured = None


def install_capture(captured):
    """Take this function for what makes of a reference one of the body that runs, where that is inside the reference's program."""
    global _captured
    _captured = captured


def count_body(long by):
    """Note that the function of a body begins (1) or has come to its end (-1). One that is never noted costs later operators some time."""
    tl_bodies_add(by)


cdef inline RefBase here(RefBase ref):
    # The reference, or what it is in the body that runs.
    return ref if tl_bodies == 0 else <RefBase>_captured(ref)


cdef object all_here(object x):
    # Likewise for all references among what a function of NumPy's is given.
    if tl_bodies == 0:
        return x
    if isinstance(x, RefBase):
        return here(<RefBase>x)
    if type(x) is tuple:
        return tuple([all_here(v) for v in x])
    if type(x) is list:
        return [all_here(v) for v in x]
    return {k: all_here(v) for k, v in x.items()} if type(x) is dict else x
