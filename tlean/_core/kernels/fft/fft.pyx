# cython: language_level=3
"""Discrete Fourier transforms along one axis, of any length, in one dimension of (outer, n, inner).

A complex number is two neighbouring numbers, its real and its imaginary part. Lines are in the lanes of vectors, as many at once as a
vector has; so all lines of a call are computed alike. Few long ones, and those for whose lanes no cache has room, are done one after the
other, each as a matrix whose columns and rows are in lanes. Which way a call goes depends on its sizes alone.

A real line of even length is a complex one of half of it, whose spectrum is split afterwards.
"""
from libc.math cimport log2
from libc.stdint cimport int64_t
from libc.string cimport memset

from tlean._core.kernel cimport TL_NO_MEMORY, TL_OK, TL_SLOT_FFT_COPIES, TL_SLOT_FFT_LANES, TL_SLOT_FFT_LINE, TL_SLOT_FFT_MATRIX
from tlean._core.simd.real cimport least, most, real
from tlean._core.threads.threads cimport chunk_fn, parallel_for, scratch

cdef extern from "kernels/fft/fft.h" nogil:
    enum: TL_LANES_f32
    enum: TL_LANES_f64
    ctypedef struct tl_fft_plan:
        int64_t n
        tl_fft_plan* cyclic
        void* halves
        void* chirp
        void* filter
        int64_t rows
        int64_t columns
        tl_fft_plan* of_rows
        tl_fft_plan* of_columns
    void tl_fft_free(tl_fft_plan* plan)
    tl_fft_plan* tl_fft_plan_of(void* tag, int64_t n, bint is_real)
    void* tl_fft_stages(void* tag, const tl_fft_plan* plan, const void* x, void* a, void* b, int64_t re, int64_t im, double scale)
    void* tl_fft_lanes(const tl_fft_plan* plan, void* a, void* b, bint inverse, double scale)
    void tl_lanes_load(void* buf, void** src, int64_t lanes, int64_t n)
    void tl_lanes_store(const void* buf, void** dst, int64_t lanes, int64_t n)
    void tl_fft_load(void* buf, const void* src, int64_t step, int64_t lanes, int64_t n, bint is_complex)
    void tl_fft_store(const void* buf, void* dst, int64_t step, int64_t lanes, int64_t n, bint is_complex)
    void tl_fft_split(const void* x, void* y, const void* w, int64_t h, double ends, double middle)
    void tl_fft_unite(const void* x, void* y, const void* w, int64_t h, double ends, double middle)
    void tl_fft_widen(const void* x, void* y, int64_t n)
    void tl_fft_weigh(void* x, int64_t n, double ends, double middle)
    void tl_fft_mirror(void* x, int64_t n)
    void tl_fft_narrow(const void* x, void* y, int64_t n)
    void tl_fft_turn(const tl_fft_plan* plan, const void* x, void* t, int64_t block, int64_t re, int64_t im)
    void tl_fft_split_line(const void* x, void* y, const void* w, int64_t h, double ends, double middle)
    void tl_fft_unite_line(const void* x, void* y, const void* w, int64_t h, double ends, double middle)
    void tl_fft_times_line(const void* x, void* y, const void* w, int64_t length, int64_t n, bint conjugate, double scale)

cdef enum:
    LANES = 16               # of the widest vector
    FEW = 4                  # fewer lines than this are done one by one
    LONG_LANES = 524288      # bytes of the lanes' entries above which lines are, too
    CHUNK_NANOSECONDS = 50000
    MUL_CHUNK = 8192         # complex products that one thread takes at once

cdef enum Kind:
    FORWARD, INVERSE, TO_SPECTRUM, FROM_SPECTRUM


# One call. Numbers of the source and the result from one entry, and one line, to the next.
cdef struct Call:
    Kind kind
    const char* src
    const char* second       # of a product
    char* dst
    int64_t outer
    int64_t n
    int64_t inner
    int64_t half             # entries of a spectrum less one, of real lines
    bint even
    tl_fft_plan* plan
    double scale
    double ends              # factors of a spectrum's first and last entry, and of the others
    double middle
    int64_t per_chunk
    int64_t groups           # of lanes
    int64_t per_row          # of them for one place along the outer axis
    int64_t room             # entries of a lane's buffer
    int status


cdef inline int64_t numbers_in(const Call* c) noexcept nogil:
    # Of a line of the source.
    return c.n if c.kind == TO_SPECTRUM else 2 * (c.half + 1) if c.kind == FROM_SPECTRUM else 2 * c.n


cdef inline int64_t numbers_out(const Call* c) noexcept nogil:
    return c.n if c.kind == FROM_SPECTRUM else 2 * (c.half + 1) if c.kind == TO_SPECTRUM else 2 * c.n


# In lanes -------------------------------------------------------------------------------------------------------------------

cdef real* transform(const Call* c, real* a, real* b) noexcept nogil:
    # Of the lanes in a; the buffer that has the result.
    cdef real* y
    if c.kind == FORWARD or c.kind == INVERSE:
        return <real*>tl_fft_lanes(c.plan, a, b, c.kind == INVERSE, c.scale)
    if c.kind == TO_SPECTRUM:
        if c.even:
            y = <real*>tl_fft_lanes(c.plan, a, b, False, 1)
            tl_fft_split(y, b if y == a else a, c.plan.halves, c.half, c.ends, c.middle)
            return b if y == a else a
        tl_fft_widen(a, b, c.n)
        y = <real*>tl_fft_lanes(c.plan, b, a, False, 1)
        tl_fft_weigh(y, c.n, c.ends, c.middle)
        return y
    if c.even:
        tl_fft_unite(a, b, c.plan.halves, c.half, c.ends, c.middle)
        return <real*>tl_fft_lanes(c.plan, b, a, True, 1)
    tl_fft_weigh(a, c.n, c.ends, c.middle)
    tl_fft_mirror(a, c.n)
    y = <real*>tl_fft_lanes(c.plan, a, b, True, 1)
    tl_fft_narrow(y, b if y == a else a, c.n)
    return b if y == a else a


cdef void group_run(const Call* c, int64_t group, real* a, real* b) noexcept nogil:
    cdef int64_t width = TL_LANES_f32 if real is float else TL_LANES_f64
    cdef int64_t outer = group // c.per_row, first = group % c.per_row * width, lane
    cdef int64_t taken = numbers_in(c), made = numbers_out(c), lanes
    cdef bint from_real = c.kind == TO_SPECTRUM, to_real = c.kind == FROM_SPECTRUM
    cdef const real* src = <const real*>c.src
    cdef real* dst = <real*>c.dst
    cdef void* lines[LANES]
    if c.inner == 1:
        first = group * width
        lanes = least(width, c.outer - first)
        memset(lines, 0, sizeof(lines))
        for lane in range(lanes):
            lines[lane] = <void*>(src + (first + lane) * taken)
        tl_lanes_load(a, lines, lanes, taken)
        a = transform(c, a, b)
        for lane in range(lanes):
            lines[lane] = dst + (first + lane) * made
        tl_lanes_store(a, lines, lanes, made)
        return
    lanes = least(width, c.inner - first)
    src += outer * taken * c.inner + first * (1 if from_real else 2)
    dst += outer * made * c.inner + first * (1 if to_real else 2)
    tl_fft_load(a, src, c.inner * (1 if from_real else 2), lanes, taken if from_real else taken // 2, not from_real)
    a = transform(c, a, b)
    tl_fft_store(a, dst, c.inner * (1 if to_real else 2), lanes, made if to_real else made // 2, not to_real)


cdef void lanes_chunk(real* context, Py_ssize_t chunk) noexcept nogil:
    cdef Call* c = <Call*>context
    cdef int64_t group, numbers = c.room * 2 * (TL_LANES_f32 if real is float else TL_LANES_f64)
    cdef real* a = <real*>scratch(TL_SLOT_FFT_LANES, 2 * numbers * sizeof(real))
    if a == NULL:
        c.status = TL_NO_MEMORY
        return
    for group in range(chunk * c.per_chunk, least((chunk + 1) * c.per_chunk, c.groups)):
        group_run(c, group, a, a + numbers)


# One line after another -----------------------------------------------------------------------------------------------------

cdef struct Line:
    const tl_fft_plan* plan
    const char* src
    char* dst
    char* matrix             # what the columns' transforms make
    bint inverse
    bint by_rows
    double scale
    int64_t per_chunk
    int status


cdef void matrix_chunk(real* context, Py_ssize_t chunk) noexcept nogil:
    # Blocks of columns, or of rows afterwards.
    cdef Line* c = <Line*>context
    cdef int64_t width = TL_LANES_f32 if real is float else TL_LANES_f64
    cdef int64_t re = width if c.inverse else 0, block, first
    cdef int64_t n = c.plan.columns if c.by_rows else c.plan.rows, across = c.plan.n // n
    cdef real* a = <real*>scratch(TL_SLOT_FFT_LANES, 4 * n * width * sizeof(real))
    cdef real* b = a + 2 * n * width
    cdef real* y
    if a == NULL:
        c.status = TL_NO_MEMORY
        return
    for block in range(chunk * c.per_chunk, least((chunk + 1) * c.per_chunk, (across + width - 1) // width)):
        first = block * width
        if c.by_rows:
            y = <real*>tl_fft_stages(context, c.plan.of_rows, <real*>c.matrix + 2 * first * n, a, b, re, width - re, c.scale)
            tl_fft_store(y, <real*>c.dst + 2 * first, 2 * across, least(width, across - first), n, True)
        else:
            tl_fft_load(a, <const real*>c.src + 2 * first, 2 * across, least(width, across - first), n, True)
            y = <real*>tl_fft_stages(context, c.plan.of_columns, a, a, b, re, width - re, 1)
            tl_fft_turn(c.plan, y, <real*>c.matrix, block, re, width - re)


cdef double nanoseconds(int64_t n) noexcept nogil:
    # Of one transform of n complex entries.
    return 0.6 * n * log2(<double>n + 2)


cdef int matrix_line(const tl_fft_plan* plan, const real* src, real* dst, bint inverse, double scale) noexcept nogil:
    # src and dst may be the same.
    cdef Line c
    cdef int64_t width = TL_LANES_f32 if real is float else TL_LANES_f64
    cdef int64_t blocks = (plan.columns + width - 1) // width, groups = (plan.rows + width - 1) // width, count
    cdef int step
    cdef double work = nanoseconds(plan.n) / 2
    c.plan, c.src, c.dst, c.inverse, c.scale, c.status = plan, <const char*>src, <char*>dst, inverse, scale, TL_OK
    c.matrix = <char*>scratch(TL_SLOT_FFT_MATRIX, groups * width * 2 * plan.columns * sizeof(real))
    if c.matrix == NULL:
        return TL_NO_MEMORY
    for step in range(2):
        count = groups if step else blocks
        c.by_rows, c.per_chunk = step, most(1, <int64_t>(CHUNK_NANOSECONDS / (work / count)))
        parallel_for(<chunk_fn>matrix_chunk[real], &c, (count + c.per_chunk - 1) // c.per_chunk, work)
        if c.status != TL_OK:
            break
    return c.status


cdef int complex_line(const tl_fft_plan* plan, const real* src, real* dst, bint inverse, double scale) noexcept nogil:
    # Of a plan that `by_lines` takes. src and dst may be the same.
    cdef int64_t m
    cdef real* x
    cdef int status
    if plan.cyclic == NULL:
        return matrix_line(plan, src, dst, inverse, scale)
    m = plan.cyclic.n
    x = <real*>scratch(TL_SLOT_FFT_LINE, 2 * m * sizeof(real))
    if x == NULL:
        return TL_NO_MEMORY
    tl_fft_times_line(src, x, plan.chirp, plan.n, m, inverse, 1)
    status = matrix_line(plan.cyclic, x, x, inverse, 1)
    if status != TL_OK:
        return status
    tl_fft_times_line(x, x, plan.filter, m, m, inverse, 1)
    status = matrix_line(plan.cyclic, x, x, not inverse, 1)
    tl_fft_times_line(x, dst, plan.chirp, plan.n, plan.n, inverse, scale)
    return status


cdef int real_line(const Call* c, const real* src, real* dst, real* spare) noexcept nogil:
    # `spare` has room for 2 (n + 1) numbers.
    cdef int64_t j, n = c.n
    cdef int status
    if c.kind == TO_SPECTRUM:
        if c.even:
            status = complex_line(c.plan, src, spare, False, 1)
            tl_fft_split_line(spare, dst, c.plan.halves, c.half, c.ends, c.middle)
            return status
        for j in range(n):
            spare[2 * j], spare[2 * j + 1] = src[j], 0
        status = complex_line(c.plan, spare, spare, False, 1)
        for j in range(2 * (c.half + 1)):
            dst[j] = spare[j] * <real>(c.ends if j < 2 else c.middle)
        dst[1] = 0
        return status
    if c.even:
        tl_fft_unite_line(src, spare, c.plan.halves, c.half, c.ends, c.middle)
        return complex_line(c.plan, spare, dst, True, 1)
    spare[0], spare[1] = src[0] * <real>c.ends, 0
    for j in range(1, c.half + 1):
        spare[2 * j], spare[2 * j + 1] = src[2 * j] * <real>c.middle, src[2 * j + 1] * <real>c.middle
        spare[2 * (n - j)], spare[2 * (n - j) + 1] = spare[2 * j], -spare[2 * j + 1]
    status = complex_line(c.plan, spare, spare, True, 1)
    for j in range(n):
        dst[j] = spare[2 * j]
    return status


cdef int lines_run(Call* c, const real* src, real* dst) noexcept nogil:
    # Lines that are not next to each other are copied. The spare room is a line of source and result and what a real line needs.
    cdef int64_t o, i, j, inner = c.inner, taken = numbers_in(c), made = numbers_out(c)
    cdef int64_t a = 1 if c.kind == TO_SPECTRUM else 2, b = 1 if c.kind == FROM_SPECTRUM else 2
    cdef int64_t copies = 0 if inner == 1 else taken + made
    cdef real* spare = <real*>scratch(TL_SLOT_FFT_COPIES, (copies + 2 * (c.n + 1)) * sizeof(real))
    cdef real* x
    cdef real* y
    cdef int status = TL_OK
    if spare == NULL:
        return TL_NO_MEMORY
    for o in range(c.outer):
        for i in range(inner):
            if inner == 1:
                x, y = <real*>src + o * taken, dst + o * made
            else:
                x, y = spare + 2 * (c.n + 1), spare + 2 * (c.n + 1) + taken
                for j in range(taken):
                    x[j] = src[o * taken * inner + (j // a * inner + i) * a + j % a]
            if c.kind == FORWARD or c.kind == INVERSE:
                status = complex_line(c.plan, x, y, c.kind == INVERSE, c.scale)
            else:
                status = real_line(c, x, y, spare)
            if status != TL_OK:
                return status
            if inner > 1:
                for j in range(made):
                    dst[o * made * inner + (j // b * inner + i) * b + j % b] = y[j]
    return status


cdef void mul_chunk(real* context, Py_ssize_t chunk) noexcept nogil:
    cdef Call* c = <Call*>context
    cdef int64_t first = 2 * chunk * MUL_CHUNK, n = least(MUL_CHUNK, c.n - chunk * MUL_CHUNK)
    tl_fft_times_line(<const real*>c.src + first, <real*>c.dst + first, <const real*>c.second + first, n, n, c.even, 1)


# Kernels --------------------------------------------------------------------------------------------------------------------

cdef int run(real* dst, const real* src, Call* c) noexcept nogil:
    cdef int64_t width = TL_LANES_f32 if real is float else TL_LANES_f64
    cdef int64_t n = c.n // 2 if c.even else c.n, bytes
    cdef bint by_lines
    cdef double group
    if c.outer * c.inner == 0:
        return TL_OK
    c.src, c.dst, c.status = <const char*>src, <char*>dst, TL_OK
    c.plan = tl_fft_plan_of(dst, n, c.even)
    if c.plan == NULL:
        return TL_NO_MEMORY
    c.room = (n if c.plan.cyclic == NULL else c.plan.cyclic.n) + 1
    bytes = c.room * 2 * width * sizeof(real)
    by_lines = (c.plan.rows if c.plan.cyclic == NULL else c.plan.cyclic.rows) > 0
    if by_lines and (c.outer * c.inner < FEW or (bytes > LONG_LANES and c.inner < width) or bytes > 64 * LONG_LANES):
        c.status = lines_run(c, src, dst)
    else:
        c.per_row = (c.inner + width - 1) // width
        c.groups = c.outer * c.per_row if c.inner > 1 else (c.outer + width - 1) // width
        group = nanoseconds(c.room) * 2
        c.per_chunk = most(1, <int64_t>(CHUNK_NANOSECONDS / group))
        parallel_for(<chunk_fn>lanes_chunk[real], c, (c.groups + c.per_chunk - 1) // c.per_chunk, c.groups * group)
    tl_fft_free(c.plan)
    return c.status


# ints: (outer, n, inner, inverse), floats: (scale,): complex to complex.
cdef int fft(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Call c
    memset(&c, 0, sizeof(Call))
    c.kind = INVERSE if ints[3] else FORWARD
    c.outer, c.n, c.inner, c.scale = ints[0], ints[1], ints[2], floats[0]
    return run(out[0], <const real*>inp[0], &c)


# ints: (outer, n, inner), floats: (ends, middle): real lines of n to their spectra, whose first entry, and last one for an even n, is times
# `ends`, and the others times `middle`; and the sums over all frequencies of spectra that are so weighted.
cdef int real_call(real** out, void** inp, const int64_t* ints, const double* floats, Kind kind) noexcept nogil:
    cdef Call c
    memset(&c, 0, sizeof(Call))
    c.kind, c.outer, c.n, c.inner, c.ends, c.middle = kind, ints[0], ints[1], ints[2], floats[0], floats[1]
    c.half, c.even = c.n // 2, c.n % 2 == 0
    return run(out[0], <const real*>inp[0], &c)


cdef int rfft(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return real_call(out, inp, ints, floats, TO_SPECTRUM)


cdef int irfft(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return real_call(out, inp, ints, floats, FROM_SPECTRUM)


# ints: (numbers, conjugate): y = a b, or a times the conjugate of b.
cdef int complex_mul(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Call c
    memset(&c, 0, sizeof(Call))
    c.n, c.even = ints[0], ints[1]
    c.dst, c.src, c.second = <char*>out[0], <const char*>inp[0], <const char*>inp[1]
    parallel_for(<chunk_fn>mul_chunk[real], &c, (c.n + MUL_CHUNK - 1) // MUL_CHUNK, c.n * 1.0)
    return TL_OK


KERNELS = {
    "fft:f32": <size_t>&fft[float], "fft:f64": <size_t>&fft[double],
    "rfft:f32": <size_t>&rfft[float], "rfft:f64": <size_t>&rfft[double],
    "complex_mul:f32": <size_t>&complex_mul[float], "complex_mul:f64": <size_t>&complex_mul[double],
    "irfft:f32": <size_t>&irfft[float], "irfft:f64": <size_t>&irfft[double],
}
