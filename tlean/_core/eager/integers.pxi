# Calls of integers alone, which compute with them or move them: arrays and numbers among their arguments stay integers.

cdef tuple integers_of(EagerCore self, OpInfo op, tuple args):
    # The arguments of a call of integers alone, with leaves in place of arrays and numbers; those of another call as they are.
    cdef list operands = []
    cdef list result
    cdef bint plain = False
    cdef object places = range(len(args)) if op.variadic else op.numbers
    for k in places:
        value = args[k]
        if type(value) is TensorRef:
            if (<TensorRef>value).code <= TL_F64:
                return args
        elif isinstance(value, RefBase):
            return args
        else:
            plain = True
        operands.append(value)
    arrays = whole_numbers(operands) if plain else None
    if arrays is None:
        return args
    result = list(args)
    for k, value in zip(places, arrays):
        result[k] = value if value is None or type(value) is TensorRef else self.new_leaf(value, False, None)
    return tuple(result)
