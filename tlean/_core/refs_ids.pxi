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
