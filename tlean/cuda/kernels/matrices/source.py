"""CUDA C of Cholesky and LU factors and of triangular systems.

The factors of a matrix are a block of n (n + 1) words of 64 bits, as on the CPU: n x n floats with L below the diagonal and U on and above
it, then for each row of L U the row that it was, as ints, and zeros to the end.
"""

#: Rows of a block of a matrix; of matrices that are done in shared memory, so many of which a block of threads has.
WIDE = 32
AT_ONCE = 8
#: Axes of a batch, and threads of a block where a matrix has it all, or where each has a column.
MOST_AXES = 8
PANEL = 256
COLUMNS = 128

COMMON_PARTS = (
    f"enum {{ WIDE = {WIDE}, AT_ONCE = {AT_ONCE}, AXES = {MOST_AXES}, PANEL = {PANEL} }};"
    + """
enum { PACKED, SIGN, LOGARITHM, DETERMINANT, ROWS };
typedef float Tile[WIDE][WIDE + 1];
/* Matrix i of an operand is at the sum of its steps along the axes of the batch, the outermost first. */
struct Batch { i64 sizes[AXES], steps[AXES]; };
/* Entry (i, j) of a part of a matrix is at first + i * row + j * column. */
struct Part { i64 first, row, column; };
static __device__ i64 start(const Batch &b, i64 i) {
    i64 at = 0;
    for (int a = AXES - 1; a >= 0; a--) {
        at += i % b.sizes[a] * b.steps[a];
        i /= b.sizes[a];
    }
    return at;
}
/* v / d, whose reciprocal is r, or 0 for 0: a reciprocal may be infinite where the quotient is not. */
static __device__ __forceinline__ float divided(float v, float d, float r) { return r - r == 0 || d == 0 ? v * r : v / d; }
static __device__ __forceinline__ i64 words_of(i64 n) { return 2 * n * (n + 1); }

/* The lower factor of the tile's symmetric matrix in its place, by a warp, a row for each lane; *wrong is set where there is none. All
 * threads of the block take part. */
static __device__ void cholesky_tile(Tile &s, int n, int *wrong) {
    const int lane = threadIdx.x;
    for (int j = 0; j < n; j++) {
        __syncthreads();
        const float d = s[j][j], root = sqrtf(d), r = 1 / root;
        __syncthreads();
        if (lane == j) {
            s[j][j] = root;
            if (!(d > 0)) *wrong = 1;
        } else if (lane > j && lane < n) s[lane][j] *= r;
        __syncthreads();
        if (lane < n)
            for (int c = j + 1; c <= lane; c++) s[lane][c] -= s[lane][j] * s[c][j];
    }
    __syncthreads();
}

/* A column of x solved with the tile, or with its transpose; row i of it is at x[order ? order[i] : i]. */
static __device__ void solve_column(const Tile &s, bool turned, bool back, bool unit, float *x, i64 step, int n, const int *order) {
    for (int k = 0; k < n; k++) {
        const int i = back ? n - 1 - k : k, first = back ? i + 1 : 0, last = back ? n : i;
        float *const at = x + (order ? order[i] : i) * step;
        float v = *at;
        for (int j = first; j < last; j++) v -= (turned ? s[j][i] : s[i][j]) * x[(order ? order[j] : j) * step];
        *at = unit ? v : divided(v, s[i][i], 1 / s[i][i]);
    }
}
"""
)

#: Matrices of up to WIDE rows: AT_ONCE of them for a block of threads, a warp for each.
SMALL = """
#define TL_SMALL                                                                     \\
    __shared__ Tile tiles[AT_ONCE];                                                  \\
    Tile &s = tiles[threadIdx.y];                                                    \\
    const int lane = threadIdx.x;                                                    \\
    i64 item = (i64)blockIdx.x * AT_ONCE + threadIdx.y;                              \\
    const bool mine = item < matrices;                                               \\
    if (!mine) item = matrices - 1;

extern "C" __global__ void k_cholesky_small(float *y, const float *a, Batch batch, i64 n, i64 matrices) {
    TL_SMALL
    __shared__ int wrong[AT_ONCE];
    a += start(batch, item);
    if (lane == 0) wrong[threadIdx.y] = 0;
    for (i64 e = lane; e < n * n; e += WIDE) s[e / n][e % n] = 0.5f * a[e] + 0.5f * a[e % n * n + e / n];
    cholesky_tile(s, (int)n, wrong + threadIdx.y);
    if (!mine) return;
    y += item * n * n;
    for (i64 e = lane; e < n * n; e += WIDE) y[e] = wrong[threadIdx.y] ? nanf("") : e % n <= e / n ? s[e / n][e % n] : 0;
}

extern "C" __global__ void k_factors_small(float *words, const float *a, Batch batch, i64 n, i64 matrices) {
    TL_SMALL
    __shared__ int orders[AT_ONCE][WIDE];
    int *const order = orders[threadIdx.y];
    a += start(batch, item);
    order[lane] = lane;
    for (i64 e = lane; e < n * n; e += WIDE) s[e / n][e % n] = a[e];
    for (int j = 0; j < n; j++) {
        __syncthreads();
        /* The first of the largest; a NaN counts as such in the row itself alone. */
        float best = lane >= j && lane < n ? fabsf(s[lane][j]) : -1;
        if (best != best) best = lane == j ? INFINITY : -1;
        int at = lane;
        for (int by = WIDE / 2; by > 0; by /= 2) {
            const float other = __shfl_xor_sync(~0u, best, by);
            const int place = __shfl_xor_sync(~0u, at, by);
            if (other > best || (other == best && place < at)) best = other, at = place;
        }
        __syncthreads();
        if (lane < n && at != j) {
            const float v = s[j][lane];
            s[j][lane] = s[at][lane];
            s[at][lane] = v;
        }
        if (lane == 0) {
            const int row = order[j];
            order[j] = order[at];
            order[at] = row;
        }
        __syncthreads();
        const float r = s[j][j] == 0 ? 0 : 1 / s[j][j];
        if (lane > j && lane < n) {
            const float f = s[lane][j] = divided(s[lane][j], s[j][j], r);
            for (int c = j + 1; c < n; c++) s[lane][c] -= f * s[j][c];
        }
    }
    __syncthreads();
    if (!mine) return;
    words += item * words_of(n);
    for (i64 e = lane; e < words_of(n); e += WIDE) {
        if (e < n * n) words[e] = s[e / n][e % n];
        else ((int *)words)[e] = e < n * n + n ? order[e - n * n] : 0;
    }
}

/* Systems with the triangle of t, or (factors) with L and U whose rows were put in order. */
extern "C" __global__ void k_solve_small(
    float *y, const float *t, Batch of_t, const float *b, Batch of_b, i64 n, i64 k, i64 factors, i64 turned, i64 back, i64 unit,
    i64 matrices
) {
    TL_SMALL
    __shared__ int orders[AT_ONCE][WIDE];
    int *const order = orders[threadIdx.y];
    t += start(of_t, item), b += start(of_b, item), y += item * n * k;
    for (i64 e = lane; e < n * n; e += WIDE) s[e / n][e % n] = t[e];
    if (lane < n) order[lane] = factors ? ((const int *)t)[n * n + lane] : lane;
    __syncthreads();
    if (!mine) return;
    bool singular = false;
    for (int i = 0; i < n; i++) singular = singular || (!unit && s[i][i] == 0);
    for (i64 c = lane; c < k; c += WIDE) {
        for (i64 i = 0; i < n; i++) y[(turned ? order[i] : i) * k + c] = b[(turned ? i : order[i]) * k + c];
        if (!factors) solve_column(s, turned, back, unit, y + c, k, (int)n, 0);
        else if (turned) {
            solve_column(s, true, false, false, y + c, k, (int)n, order);
            solve_column(s, true, true, true, y + c, k, (int)n, order);
        } else {
            solve_column(s, false, false, true, y + c, k, (int)n, 0);
            solve_column(s, false, true, false, y + c, k, (int)n, 0);
        }
        if (singular)
            for (i64 i = 0; i < n; i++) y[i * k + c] = nanf("");
    }
}
"""

#: The steps of larger matrices, which go block by block.
LARGE = """
extern "C" __global__ void k_symmetric(float *y, const float *a, Batch batch, i64 n, i64 entries) {
    TL_EACH(e, entries) {
        const i64 i = e / n % n, j = e % n;
        const float *from = a + start(batch, e / (n * n));
        y[e] = j <= i ? 0.5f * from[i * n + j] + 0.5f * from[j * n + i] : 0;
    }
}
/* The block of the diagonal at p; flags say which matrices have no factor. */
extern "C" __global__ void k_cholesky_block(float *y, int *flags, i64 n, i64 p, i64 w) {
    __shared__ Tile s;
    __shared__ int wrong;
    const int lane = threadIdx.x;
    const i64 item = blockIdx.x;
    y += item * n * n + p * (n + 1);
    if (lane == 0) wrong = 0;
    for (i64 e = lane; e < w * w; e += WIDE) s[e / w][e % w] = y[e / w * n + e % w];
    cholesky_tile(s, (int)w, &wrong);
    for (i64 e = lane; e < w * w; e += WIDE)
        if (e % w <= e / w) y[e / w * n + e % w] = s[e / w][e % w];
    if (lane == 0) flags[item] = wrong || (p && flags[item]);
}
extern "C" __global__ void k_zeros_on_diagonal(int *flags, const float *t, Batch batch, i64 n, i64 matrices) {
    TL_EACH(item, matrices) {
        const float *from = t + start(batch, item);
        int found = 0;
        for (i64 i = 0; i < n; i++) found = found || from[i * (n + 1)] == 0;
        flags[item] = found;
    }
}
extern "C" __global__ void k_refuse(float *y, const int *flags, i64 each, i64 entries) {
    TL_EACH(e, entries) if (flags[e / each]) y[e] = nanf("");
}
/* w rows of x solved with w rows and columns of t, a column for each thread. */
extern "C" __global__ void k_solve_block(
    float *x, i64 x_step, Part of_x, const float *t, Batch batch, Part of_t, i64 w, i64 columns, i64 back, i64 unit
) {
    __shared__ Tile s;
    const i64 blocks = (columns + blockDim.x - 1) / blockDim.x, item = blockIdx.x / blocks;
    t += start(batch, item) + of_t.first;
    for (i64 e = threadIdx.x; e < w * w; e += blockDim.x) s[e / w][e % w] = t[e / w * of_t.row + e % w * of_t.column];
    __syncthreads();
    const i64 c = blockIdx.x % blocks * blockDim.x + threadIdx.x;
    if (c < columns) solve_column(s, false, back, unit, x + item * x_step + of_x.first + c * of_x.column, of_x.row, (int)w, 0);
}
/* C (m x n) -= A (m x k) B (k x n), k at most WIDE; of a symmetric C its lower triangle. A tile of C for each block of WIDE x 8 threads. */
extern "C" __global__ void k_block_minus(
    float *c, i64 c_step, Part of_c, const float *a, Batch batch, Part of_a, const float *b, i64 b_step, Part of_b, i64 m, i64 n, i64 k,
    i64 lower
) {
    __shared__ Tile left, right;
    const i64 over = (n + WIDE - 1) / WIDE, tiles = (m + WIDE - 1) / WIDE * over, tile = blockIdx.x % tiles, item = blockIdx.x / tiles;
    const i64 i0 = tile / over * WIDE, j0 = tile % over * WIDE, x = threadIdx.x;
    if (lower && j0 > i0) return;
    a += start(batch, item) + of_a.first, b += item * b_step + of_b.first, c += item * c_step + of_c.first;
    for (int y = threadIdx.y; y < WIDE; y += 8) {
        left[y][x] = i0 + y < m && x < k ? a[(i0 + y) * of_a.row + x * of_a.column] : 0;
        right[y][x] = y < k && j0 + x < n ? b[y * of_b.row + (j0 + x) * of_b.column] : 0;
    }
    __syncthreads();
    for (int y = threadIdx.y; y < WIDE; y += 8) {
        const i64 i = i0 + y, j = j0 + x;
        if (i >= m || j >= n || (lower && j > i)) continue;
        float v = c[i * of_c.row + j * of_c.column];
        for (int p = 0; p < k; p++) v -= left[y][p] * right[p][x];
        c[i * of_c.row + j * of_c.column] = v;
    }
}
extern "C" __global__ void k_words_start(float *words, const float *a, Batch batch, i64 n, i64 entries) {
    TL_EACH(e, entries) {
        const i64 item = e / words_of(n), at = e % words_of(n);
        if (at < n * n) words[e] = a[start(batch, item) + at];
        else ((int *)words)[e] = at < n * n + n ? (int)(at - n * n) : 0;
    }
}
/* L and U of columns p ... p + w - 1 from row p on, by the threads of a block; row j was swapped with row pivots[j] at step j. */
extern "C" __global__ void k_factors_panel(float *words, int *pivots, i64 n, i64 p, i64 w) {
    __shared__ float bests[PANEL];
    __shared__ i64 places[PANEL];
    const int t = threadIdx.x;
    float *const m = words + blockIdx.x * words_of(n);
    int *const order = (int *)(m + n * n);
    pivots += blockIdx.x * n;
    for (i64 j = p; j < p + w; j++) {
        __syncthreads();
        float best = -1;
        i64 at = n;
        for (i64 i = j + t; i < n; i += PANEL) {
            float v = fabsf(m[i * n + j]);
            if (v != v) v = i == j ? INFINITY : -1;
            if (v > best) best = v, at = i;
        }
        bests[t] = best, places[t] = at;
        for (int by = PANEL / 2; by > 0; by /= 2) {
            __syncthreads();
            if (t < by && (bests[t + by] > bests[t] || (bests[t + by] == bests[t] && places[t + by] < places[t])))
                bests[t] = bests[t + by], places[t] = places[t + by];
        }
        __syncthreads();
        const i64 row = bests[0] < 0 ? j : places[0];
        if (t == 0) {
            const int was = order[j];
            pivots[j] = (int)row;
            order[j] = order[row];
            order[row] = was;
        }
        if (t < w && row != j) {
            const float v = m[j * n + p + t];
            m[j * n + p + t] = m[row * n + p + t];
            m[row * n + p + t] = v;
        }
        __syncthreads();
        const float pivot = m[j * n + j], r = pivot == 0 ? 0 : 1 / pivot;
        for (i64 i = j + 1 + t; i < n; i += PANEL) {
            const float f = m[i * n + j] = divided(m[i * n + j], pivot, r);
            for (i64 c = j + 1; c < p + w; c++) m[i * n + c] -= f * m[j * n + c];
        }
    }
}
/* The swaps of a panel in the columns beside it. */
extern "C" __global__ void k_swap_rows(float *words, const int *pivots, i64 n, i64 p, i64 w, i64 columns) {
    TL_EACH(e, columns) {
        const i64 item = e / (n - w), c = e % (n - w) < p ? e % (n - w) : e % (n - w) + w;
        float *const m = words + item * words_of(n) + c;
        for (i64 j = p; j < p + w; j++) {
            const i64 row = pivots[item * n + j];
            const float v = m[j * n];
            m[j * n] = m[row * n];
            m[row * n] = v;
        }
    }
}
/* The right-hand sides as they are, or their rows in the order of factors; `back` puts rows where that order took them from. */
extern "C" __global__ void k_put_sides(
    float *y, const float *b, Batch batch, const float *words, Batch of_words, i64 n, i64 k, i64 back, i64 entries
) {
    TL_EACH(e, entries) {
        const i64 item = e / (n * k), i = e / k % n, c = e % k;
        const int *order = words ? (const int *)(words + start(of_words, item) + n * n) : 0;
        const i64 row = order ? order[i] : i;
        y[item * n * k + (back ? row : i) * k + c] = b[start(batch, item) + (back ? i : row) * k + c];
    }
}
/* What factors say; a block of threads for each matrix. */
extern "C" __global__ void k_read_factors(float *y, i64 *rows, const float *words, Batch batch, i64 n, i64 part) {
    __shared__ int turns[PANEL];
    const int t = threadIdx.x;
    const i64 item = blockIdx.x;
    words += start(batch, item);
    const int *order = (const int *)(words + n * n);
    if (part == PACKED)
        for (i64 e = t; e < n * n; e += PANEL) y[item * n * n + e] = words[e];
    if (part == ROWS)
        for (i64 i = t; i < n; i += PANEL) rows[item * n + i] = order[i];
    int odd = 0;
    if (part == SIGN || part == DETERMINANT)
        for (i64 i = t; i < n; i += PANEL)
            for (i64 j = 0; j < i; j++) odd ^= order[j] > order[i];
    turns[t] = odd;
    __syncthreads();
    if (t || part == PACKED || part == ROWS) return;
    for (int k = 1; k < PANEL; k++) odd ^= turns[k];
    double total = 0;
    float product = 1;
    bool negative = false, zero = false;
    for (i64 i = 0; i < n; i++) {
        const float d = words[i * (n + 1)];
        negative = negative != (d < 0);
        zero = zero || d == 0;
        if (part == LOGARITHM) total += log(fabs((double)d));
        product *= d;
    }
    if (part == LOGARITHM) y[item] = (float)total;
    else if (part == DETERMINANT) y[item] = odd ? -product : product;
    else if (product != product && !zero) y[item] = product;
    else y[item] = zero ? 0.0f : negative != (odd != 0) ? -1.0f : 1.0f;
}
"""
