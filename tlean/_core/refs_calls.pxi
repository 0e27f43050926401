# What calls make of references: the bodies of loops their own, and tapes the ids of nodes.

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


# The ids of nodes, as calls take them: an int, or a reference.

def id_of(value):
    """The id of the node that a tape's reference means; anything else as it is. Raises: NodeError for a reference without a node."""
    if not isinstance(value, RefBase):
        return value
    node = getattr(value, "id", None) if has_value(<RefBase>value) else None
    if node is None:
        why = "a value computed under no_grad has no node id" if hasattr(type(value), "id") else "a reference of a tape is expected"
        raise_error("NodeError", f"{why}, got {value!r}")
    return node


def node_id(who, value):
    """A node's id as an int; a reference means its node. Raises: NodeError."""
    try:
        return operator.index(id_of(value))
    except TypeError:
        raise_error("NodeError", f"{who}: a node id must be an int, got {type(value).__name__}; put arrays on the tape with leaf()")


def no_references(who, values):
    """Raise NodeError where a sequence that is read as an array has references in it: their values would be constants of the program."""
    for x in values:
        if isinstance(x, RefBase):
            raise_error("NodeError", f"{who} must be an array or a reference, got a {type(values).__name__} with {x!r}; stack joins them")
        if isinstance(x, (list, tuple)):
            no_references(who, x)
