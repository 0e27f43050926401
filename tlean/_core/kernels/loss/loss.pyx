"""Kernels of the losses and of their gradients. A loss is worked out in one pass; its sum is taken chunk by chunk, then over the chunks."""
from libc.stddef cimport size_t
from libc.stdint cimport int64_t
from libc.string cimport memset

from tlean._core.kernel cimport TL_INDEX_OUT_OF_RANGE, TL_NO_MEMORY, TL_OK, TL_SLOT_ROWS
from tlean._core.simd.lanes cimport (
    BATCH, LANES, PIECE, SHORT, from_lanes, lanes_exp_sum, lanes_max, rows_exp_sum, rows_max, rows_together, to_lanes,
)
from tlean._core.simd.rows cimport (
    Job, chunks_of, exp_shifted, job_of, log1p_of, log_of, part_fn, real, row_covariation, row_deviation,
    row_square_distance, row_sum, run, scratch, sigmoid_of,
)

# The codes of the reductions, as in tlean.ops.loss.
cdef enum Reduction:
    NONE
    MEAN
    SUM


# Losses of two arrays of one shape: ints = (elements, reduction) ----------------------------------------------------------


cdef void mse_part(Job* job, Py_ssize_t first, Py_ssize_t last, real* y, const real* a) noexcept nogil:
    cdef const real* b = <const real*>job.inp[1]
    cdef Py_ssize_t i
    if job.ints[1] == NONE:
        for i in range(first, last):
            y[i] = (a[i] - b[i]) * (a[i] - b[i])
    else:
        job.partial[first // job.block] = row_square_distance(a + first, b + first, last - first)


# max(x, 0) − x t + log1p(e^−|x|)
cdef inline real bce(real x, real t) noexcept nogil:
    return ((x if x > 0 else <real>0) - x * t) + log1p_of(exp_shifted(-x if x > 0 else x))


cdef void bce_part(Job* job, Py_ssize_t first, Py_ssize_t last, real* y, const real* x) noexcept nogil:
    cdef const real* t = <const real*>job.inp[1]
    cdef real piece[PIECE]
    cdef double total = 0.0
    cdef Py_ssize_t i, start = first, count
    if job.ints[1] == NONE:
        for i in range(first, last):
            y[i] = bce(x[i], t[i])
        return
    while start < last:
        count = min(last - start, <Py_ssize_t>PIECE)
        for i in range(count):
            piece[i] = bce(x[start + i], t[start + i])
        total += row_sum(<const real*>&piece[0], count)
        start += PIECE
    job.partial[first // job.block] = total


# 2 (a − b) g, over the number of elements for the mean, and its negative.
cdef void mse_grad_part(Job* job, Py_ssize_t first, Py_ssize_t last, real* da, const real* g) noexcept nogil:
    cdef const real* a = <const real*>job.inp[1]
    cdef const real* b = <const real*>job.inp[2]
    cdef real* db = <real*>job.out[1]
    cdef real each
    cdef Py_ssize_t i
    if job.ints[1] == NONE:
        if da != NULL:
            for i in range(first, last):
                da[i] = 2 * g[i] * (a[i] - b[i])
        if db != NULL:
            for i in range(first, last):
                db[i] = 2 * g[i] * (b[i] - a[i])
        return
    each = <real>(2.0 * g[0] / (job.ints[0] if job.ints[1] == MEAN else 1))
    if da != NULL:
        for i in range(first, last):
            da[i] = each * (a[i] - b[i])
    if db != NULL:
        for i in range(first, last):
            db[i] = each * (b[i] - a[i])


# (σ(x) − t) g and −x g, over the number of elements for the mean.
cdef void bce_grad_part(Job* job, Py_ssize_t first, Py_ssize_t last, real* dx, const real* g) noexcept nogil:
    cdef const real* x = <const real*>job.inp[1]
    cdef const real* t = <const real*>job.inp[2]
    cdef real* dt = <real*>job.out[1]
    cdef real each
    cdef Py_ssize_t i
    if job.ints[1] == NONE:
        if dx != NULL:
            for i in range(first, last):
                dx[i] = g[i] * (sigmoid_of(x[i]) - t[i])
        if dt != NULL:
            for i in range(first, last):
                dt[i] = -(g[i] * x[i])
        return
    each = <real>(<double>g[0] / (job.ints[0] if job.ints[1] == MEAN else 1))
    if dx != NULL:
        for i in range(first, last):
            dx[i] = each * (sigmoid_of(x[i]) - t[i])
    if dt != NULL:
        for i in range(first, last):
            dt[i] = -(each * x[i])


# Labels: ints = (rows, classes, is a label ignored?, which, …) ------------------------------------------------------------


cdef inline bint is_ignored(const int64_t* ints, int64_t label) noexcept nogil:
    return ints[2] != 0 and label == ints[3]


# ints[4]: whether a label out of range is an error.
cdef void one_hot_part(Job* job, Py_ssize_t first, Py_ssize_t last, real* y, const real* unused) noexcept nogil:
    cdef const int64_t* labels = <const int64_t*>job.inp[0]
    cdef Py_ssize_t row, depth = job.ints[1]
    memset(y + first * depth, 0, (last - first) * depth * sizeof(real))
    for row in range(first, last):
        if is_ignored(job.ints, labels[row]):
            continue
        if 0 <= labels[row] < depth:
            y[row * depth + labels[row]] = 1
        elif job.ints[4]:
            job.status = TL_INDEX_OUT_OF_RANGE


# The element of each row at its label, and its adjoint: rows that are 0 but at their labels. An ignored label picks 0.
cdef void pick_part(Job* job, Py_ssize_t first, Py_ssize_t last, real* y, const real* x) noexcept nogil:
    cdef const int64_t* labels = <const int64_t*>job.inp[1]
    cdef Py_ssize_t row, depth = job.ints[1]
    for row in range(first, last):
        if is_ignored(job.ints, labels[row]):
            y[row] = 0
        elif 0 <= labels[row] < depth:
            y[row] = x[row * depth + labels[row]]
        else:
            job.status = TL_INDEX_OUT_OF_RANGE


cdef void unpick_part(Job* job, Py_ssize_t first, Py_ssize_t last, real* y, const real* x) noexcept nogil:
    cdef const int64_t* labels = <const int64_t*>job.inp[1]
    cdef Py_ssize_t row, depth = job.ints[1]
    memset(y + first * depth, 0, (last - first) * depth * sizeof(real))
    for row in range(first, last):
        if is_ignored(job.ints, labels[row]):
            continue
        if 0 <= labels[row] < depth:
            y[row * depth + labels[row]] = x[row]
        else:
            job.status = TL_INDEX_OUT_OF_RANGE


# Cross-entropy: ints = (rows, classes, is a label ignored?, which, reduction), floats = (smoothing,) -----------------------
# An item of work is a few long rows, or LANES short ones side by side.


cdef inline Py_ssize_t rows_per_item(const int64_t* ints) noexcept nogil:
    return LANES if ints[1] <= SHORT else rows_together(ints[1], BATCH)


cdef Job job_of_rows(void* out, void** inp, const int64_t* ints, const double* floats) noexcept nogil:
    cdef Py_ssize_t each = rows_per_item(ints)
    return job_of(out, inp, ints, floats, (ints[0] + each - 1) // each, each * ints[1])


# Residuals: top, the maximum of each row, and log_total = log Σ e^(x − top).
# given: Σ_c w[c], and Σ w[label] over the rows that count, which the mean divides by. partial: Σ losses of each chunk.
cdef void cross_entropy_part(Job* job, Py_ssize_t first, Py_ssize_t last, real* y, const real* x) noexcept nogil:
    cdef const int64_t* labels = <const int64_t*>job.inp[1]
    cdef const real* weight = <const real*>job.inp[2]
    cdef real* top_out = <real*>job.out[1]
    cdef real* log_total_out = <real*>job.out[2]
    cdef Py_ssize_t classes = job.ints[1], each = rows_per_item(job.ints), item, row, width, j
    cdef double smoothing = job.floats[0], losses = 0.0, loss, w, others
    cdef int64_t label
    cdef real lanes[SHORT * LANES]
    cdef real top[LANES]
    cdef real log_total[LANES]
    cdef double total[LANES]
    cdef const real* p
    for item in range(first, last):
        row = item * each
        width = min(each, <Py_ssize_t>job.ints[0] - row)
        p = x + row * classes
        if classes > SHORT:
            rows_max(&top[0], p, classes, width)
            rows_exp_sum(&total[0], p, <const real*>&top[0], classes, width)
        else:
            to_lanes(&lanes[0], p, classes, width)
            lanes_max(&top[0], <const real*>&lanes[0], LANES, classes, width)
            lanes_exp_sum(&total[0], <const real*>&lanes[0], <const real*>&top[0], LANES, classes, width)
        for j in range(width):
            log_total[j] = log_of(<real>total[j])
        if top_out != NULL:
            for j in range(width):
                top_out[row + j] = top[j]
        if log_total_out != NULL:
            for j in range(width):
                log_total_out[row + j] = log_total[j]
        for j in range(width):
            label = labels[row + j]
            loss = w = 0.0
            if not is_ignored(job.ints, label):
                p = x + (row + j) * classes
                w = 1.0 if weight == NULL else weight[label]
                loss = (1.0 - smoothing) * w * -<double>((p[label] - top[j]) - log_total[j])
                if smoothing != 0.0:
                    # Σ_c w[c] (x[c] − top)
                    others = row_deviation(p, top[j], classes) if weight == NULL else row_covariation(weight, p, top[j], classes)
                    loss -= smoothing / classes * (others - log_total[j] * job.given[0])
            losses += loss
            if job.ints[4] == NONE:
                y[row + j] = <real>loss
    if job.ints[4] != NONE:
        job.partial[first // job.block] = losses


# Row with label t: (p A − B) times its cotangent, A = (1 − ε) w[t] + (ε/C) Σ_c w[c], B[c] = (1 − ε) w[t] [c = t] + (ε/C) w[c].
cdef void cross_entropy_grad_part(Job* job, Py_ssize_t first, Py_ssize_t last, real* d, const real* g) noexcept nogil:
    cdef const real* x = <const real*>job.inp[1]
    cdef const int64_t* labels = <const int64_t*>job.inp[2]
    cdef const real* weight = <const real*>job.inp[3]
    cdef const real* top = <const real*>job.inp[4]
    cdef const real* log_total = <const real*>job.inp[5]
    cdef Py_ssize_t classes = job.ints[1], each = rows_per_item(job.ints), item, row, width, j, c, at
    cdef double smoothing = job.floats[0], cotangent, w
    cdef int64_t label
    cdef real x_lanes[SHORT * LANES]
    cdef real d_lanes[SHORT * LANES]
    cdef real factor[LANES]
    cdef real top_row, log_total_row, spread
    for item in range(first, last):
        row = item * each
        width = min(each, <Py_ssize_t>job.ints[0] - row)
        for j in range(width):
            label = labels[row + j]
            cotangent = g[row + j] if job.ints[4] == NONE else <double>g[0] / job.given[1] if job.ints[4] == MEAN else g[0]
            factor[j] = 0
            if not is_ignored(job.ints, label):
                w = 1.0 if weight == NULL else weight[label]
                factor[j] = <real>(cotangent * ((1.0 - smoothing) * w + smoothing / classes * job.given[0]))
        if classes > SHORT:
            for j in range(width):
                at = (row + j) * classes
                top_row = top[row + j]
                log_total_row = log_total[row + j]
                for c in range(at, at + classes):
                    d[c] = factor[j] * exp_shifted((x[c] - top_row) - log_total_row)
        else:
            to_lanes(&x_lanes[0], x + row * classes, classes, width)
            for c in range(classes):
                for j in range(width):
                    d_lanes[c * LANES + j] = factor[j] * exp_shifted((x_lanes[c * LANES + j] - top[row + j]) - log_total[row + j])
            from_lanes(d + row * classes, <const real*>&d_lanes[0], classes, width)
        for j in range(width):
            at = (row + j) * classes
            label = labels[row + j]
            if is_ignored(job.ints, label):
                memset(d + at, 0, classes * sizeof(real))
                continue
            cotangent = g[row + j] if job.ints[4] == NONE else <double>g[0] / job.given[1] if job.ints[4] == MEAN else g[0]
            w = 1.0 if weight == NULL else weight[label]
            d[at + label] -= <real>(cotangent * (1.0 - smoothing) * w)
            if smoothing != 0.0:
                spread = <real>(cotangent * smoothing / classes)
                if weight == NULL:
                    for c in range(classes):
                        d[at + c] -= spread
                else:
                    for c in range(classes):
                        d[at + c] -= spread * weight[c]


# given[0]: Σ_c w[c]; given[1]: Σ w[label] over the rows that count. A label out of range shows in the job's status.
cdef void sum_weights(Job* job, const int64_t* labels, const real* weight) noexcept nogil:
    cdef Py_ssize_t row
    job.given[0] = <double>job.ints[1] if weight == NULL else row_sum(weight, job.ints[1])
    job.given[1] = 0.0
    for row in range(job.ints[0]):
        if is_ignored(job.ints, labels[row]):
            continue
        if 0 <= labels[row] < job.ints[1]:
            job.given[1] += 1.0 if weight == NULL else weight[labels[row]]
        else:
            job.status = TL_INDEX_OUT_OF_RANGE
            return


# Entries ----------------------------------------------------------------------------------------------------------------
# The estimates of time are of one core, per byte of an array.


cdef inline bint take_partials(Job* job) noexcept nogil:
    job.partial = <double*>scratch(TL_SLOT_ROWS, max(<Py_ssize_t>1, chunks_of(job)) * sizeof(double))
    return job.partial != NULL


cdef inline double total_of(Job* job) noexcept nogil:
    cdef double total = 0.0
    cdef Py_ssize_t chunk
    for chunk in range(chunks_of(job)):
        total += job.partial[chunk]
    return total


cdef int paired(part_fn part, real** out, void** inp, const int64_t* ints, double byte_ns) noexcept nogil:
    cdef Job job = job_of(out, inp, ints, NULL, ints[0], 1)
    if not take_partials(&job):
        return TL_NO_MEMORY
    run(&job, part, byte_ns * sizeof(real) * ints[0])
    if ints[1] != NONE:
        out[0][0] = <real>(total_of(&job) / (ints[0] if ints[1] == MEAN else 1))
    return TL_OK


cdef int paired_grad(part_fn part, real** out, void** inp, const int64_t* ints, double byte_ns) noexcept nogil:
    cdef Job job = job_of(out, inp, ints, NULL, ints[0], 1)
    return run(&job, part, byte_ns * sizeof(real) * ints[0])


cdef inline double cross_entropy_total(Job* job) noexcept nogil:
    # Every label ignored: 0/0, which is not a number, as it should be.
    return total_of(job) / (job.given[1] if job.ints[4] == MEAN else 1.0)


cdef int mse_loss(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return paired(<part_fn>mse_part[real], out, inp, ints, 0.025)


cdef int mse_loss_grad(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return paired_grad(<part_fn>mse_grad_part[real], out, inp, ints, 0.0375)


cdef int bce_with_logits(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return paired(<part_fn>bce_part[real], out, inp, ints, 0.2)


cdef int bce_with_logits_grad(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return paired_grad(<part_fn>bce_grad_part[real], out, inp, ints, 0.15)


cdef int one_hot(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Job job = job_of(out, inp, ints, floats, ints[0], ints[1])
    return run(&job, <part_fn>one_hot_part[real], 0.025 * sizeof(real) * ints[0] * ints[1])


cdef int pick(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Job job = job_of(out, inp, ints, floats, ints[0], 1)
    return run(&job, <part_fn>pick_part[real], 0.25 * sizeof(real) * ints[0])


cdef int unpick(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Job job = job_of(out, inp, ints, floats, ints[0], ints[1])
    return run(&job, <part_fn>unpick_part[real], 0.025 * sizeof(real) * ints[0] * ints[1])


cdef int cross_entropy(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Job job = job_of_rows(out, inp, ints, floats)
    sum_weights(&job, <const int64_t*>inp[1], <const real*>inp[2])
    if job.status != TL_OK:
        return job.status
    if not take_partials(&job):
        return TL_NO_MEMORY
    run(&job, <part_fn>cross_entropy_part[real], 0.125 * sizeof(real) * ints[0] * ints[1])
    if ints[4] != NONE:
        out[0][0] = <real>cross_entropy_total(&job)
    return TL_OK


cdef int cross_entropy_grad(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Job job = job_of_rows(out, inp, ints, floats)
    sum_weights(&job, <const int64_t*>inp[2], <const real*>inp[3])
    if job.status != TL_OK:
        return job.status
    return run(&job, <part_fn>cross_entropy_grad_part[real], 0.125 * sizeof(real) * ints[0] * ints[1])


KERNELS = {
    "mse_loss:f32": <size_t>&mse_loss[float], "mse_loss:f64": <size_t>&mse_loss[double],
    "_mse_loss_grad:f32": <size_t>&mse_loss_grad[float], "_mse_loss_grad:f64": <size_t>&mse_loss_grad[double],
    "bce_with_logits:f32": <size_t>&bce_with_logits[float], "bce_with_logits:f64": <size_t>&bce_with_logits[double],
    "_bce_with_logits_grad:f32": <size_t>&bce_with_logits_grad[float], "_bce_with_logits_grad:f64": <size_t>&bce_with_logits_grad[double],
    "_one_hot:f32": <size_t>&one_hot[float], "_one_hot:f64": <size_t>&one_hot[double],
    "_pick:f32": <size_t>&pick[float], "_pick:f64": <size_t>&pick[double],
    "_unpick:f32": <size_t>&unpick[float], "_unpick:f64": <size_t>&unpick[double],
    "cross_entropy:f32": <size_t>&cross_entropy[float], "cross_entropy:f64": <size_t>&cross_entropy[double],
    "_cross_entropy_grad:f32": <size_t>&cross_entropy_grad[float], "_cross_entropy_grad:f64": <size_t>&cross_entropy_grad[double],
}
