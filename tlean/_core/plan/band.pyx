# cython: language_level=3
"""Bands: several instructions on the same rows of large arrays, some rows at a time, so that what one makes the next finds in a cache.

Every part is an instruction as a plan has it, with numbers for so many rows; its kernel gets pointers to the rows of the band. A value that
no other instruction reads never leaves a thread's scratch memory. The result of a row depends on that row alone, so the bits are those of
the parts run one after another. A part that sums everything runs on bands of one segment of `reduce_sum`'s tree; that kernel sums the sums.
"""
from libc.stdint cimport int64_t

from tlean._core.kernel cimport TL_NO_MEMORY, TL_OK, TL_SLOT_BAND, tl_kernel
from tlean._core.threads.threads cimport parallel_for, scratch

# The integers, written by tlean/compiler/band_code.py: a header; the totals; the parts, behind each its operands (outputs first), its
# numbers for a whole band, and those for the last one where it has fewer rows.
cpdef enum:
    # Rows in all and of a band; bytes of a thread's scratch memory; nanoseconds of work.
    BAND_ROWS, BAND_HEIGHT, BAND_ROOM, BAND_WORK, BAND_TOTALS, BAND_PARTS, BAND_SIZE
    # A sum of everything: the output, the place of its divisor, the temporary with the bands' sums, and the kernel.
    TOTAL_OUTPUT = 0, TOTAL_FLOATS, TOTAL_PARTS, TOTAL_KERNEL, TOTAL_SIZE
    PART_KERNEL = 0, PART_FLOATS, PART_OUTPUTS, PART_INPUTS, PART_INTS, PART_LAST_INTS, PART_SIZE
    # Where an operand is, its number or first byte there, and bytes from one row to the next; of sums from one band to the next.
    OPERAND_PLACE = 0, OPERAND_AT, OPERAND_STEP, OPERAND_SIZE
    IS_ABSENT = 0, IS_INPUT, IS_OUTPUT, IS_LOCAL, IS_TOTAL
    MOST_OPERANDS = 64


cdef struct Band:
    char** out
    char** inp
    const int64_t* ints
    const double* floats
    int status


cdef inline void* operand(Band* b, const int64_t* o, int64_t band, char* room) noexcept nogil:
    cdef int64_t moved = band * b.ints[BAND_HEIGHT] * o[OPERAND_STEP]
    if o[OPERAND_PLACE] == IS_INPUT:
        return b.inp[o[OPERAND_AT]] + moved
    if o[OPERAND_PLACE] == IS_OUTPUT:
        return b.out[o[OPERAND_AT]] + moved
    if o[OPERAND_PLACE] == IS_LOCAL:
        return room + o[OPERAND_AT]
    if o[OPERAND_PLACE] == IS_TOTAL:
        return b.out[o[OPERAND_AT]] + band * o[OPERAND_STEP]
    return NULL


cdef void run_band(void* context, Py_ssize_t band) noexcept nogil:
    cdef Band* b = <Band*>context
    cdef const int64_t* ints = b.ints
    cdef const int64_t* part = ints + BAND_SIZE + TOTAL_SIZE * ints[BAND_TOTALS]
    cdef const int64_t* numbers
    cdef bint whole = (band + 1) * ints[BAND_HEIGHT] <= ints[BAND_ROWS]
    cdef char* room = <char*>scratch(TL_SLOT_BAND, ints[BAND_ROOM])
    cdef void* pointers[MOST_OPERANDS]
    cdef int64_t _k, j, operands
    cdef int status
    for _k in range(ints[BAND_PARTS]):
        operands = part[PART_OUTPUTS] + part[PART_INPUTS]
        for j in range(operands):
            pointers[j] = operand(b, part + PART_SIZE + j * OPERAND_SIZE, band, room)
        numbers = part + PART_SIZE + operands * OPERAND_SIZE
        status = (<tl_kernel><size_t>part[PART_KERNEL])(
            pointers, pointers + part[PART_OUTPUTS], numbers if whole else numbers + part[PART_INTS], b.floats + part[PART_FLOATS], 0)
        if status != TL_OK:
            b.status = status
            return
        part = numbers + part[PART_INTS] + part[PART_LAST_INTS]


cdef int bands(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Band b
    cdef const int64_t* total = ints + BAND_SIZE
    cdef int64_t count = (ints[BAND_ROWS] + ints[BAND_HEIGHT] - 1) // ints[BAND_HEIGHT], _k
    cdef int64_t shape[3]
    cdef void* value
    cdef int status
    b.out, b.inp, b.ints, b.floats, b.status = <char**>out, <char**>inp, ints, floats, TL_OK
    # Every thread requests memory for itself; the caller finds out here whether there is that much.
    if scratch(TL_SLOT_BAND, ints[BAND_ROOM]) == NULL:
        return TL_NO_MEMORY
    parallel_for(run_band, &b, count, <double>ints[BAND_WORK])
    if b.status != TL_OK:
        return b.status
    shape[0], shape[1], shape[2] = 1, 1, count
    for _k in range(ints[BAND_TOTALS]):
        value = out[total[TOTAL_PARTS]]
        status = (<tl_kernel><size_t>total[TOTAL_KERNEL])(
            &out[total[TOTAL_OUTPUT]], &value, shape, floats + total[TOTAL_FLOATS], 0)
        if status != TL_OK:
            return status
        total += TOTAL_SIZE
    return TL_OK


ADDRESS = <size_t>&bands
