# Positions made of indices ----------------------------------------------------------------------------------------------------
# ints: (axes, positions, n, wrap, step, mode, first, sizes..., strides of i..., strides of prior..., along...). Position p of the output,
# which has those sizes, is step * row + sum of along * p + prior, where `row` is the one of n that i names; -1 where i or prior name none.
# i is read from element `first` on; `wrap` is added to a negative index where the mode says so.

cdef enum:
    MAX_AXES = 64


cdef int locate(int64_t** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef int axes = <int>ints[0], k
    cdef int64_t count = ints[1], n = ints[2], wrap = ints[3], step = ints[4], mode = ints[5], p, row, at = 0, before = 0, offset = 0
    cdef const int64_t* i = <const int64_t*>inp[0] + ints[6]
    cdef const int64_t* prior = <const int64_t*>inp[1]
    cdef const int64_t* size = ints + 7
    cdef const int64_t* stride = size + axes
    cdef const int64_t* prior_stride = stride + axes
    cdef const int64_t* along = prior_stride + axes
    cdef int64_t where[MAX_AXES]
    for k in range(axes):
        where[k] = 0
    for p in range(count):
        row = i[at]
        if mode == CLIP:
            row = most(least(row, n - 1), 0)
        elif row < 0 and (mode == RAISE or mode == FILL):
            row += wrap
        if row < 0 or row >= n:
            if mode == STRICT or mode == RAISE:
                return TL_INDEX_OUT_OF_RANGE
            row = -1
        elif prior != NULL and prior[before] < 0:
            row = -1
        else:
            row = step * row + offset + (prior[before] if prior != NULL else 0)
        out[0][p] = row
        k = axes - 1
        while k >= 0:
            where[k] += 1
            at += stride[k]
            before += prior_stride[k]
            offset += along[k]
            if where[k] < size[k]:
                break
            at -= size[k] * stride[k]
            before -= size[k] * prior_stride[k]
            offset -= size[k] * along[k]
            where[k] = 0
            k -= 1
    return TL_OK
