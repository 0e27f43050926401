/* Rows by number: the loops that the compiler does not make of plain ones. */
#ifndef TLEAN_GATHER_ROWS_H
#define TLEAN_GATHER_ROWS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

/* Whether every index is one of 0 ... n - 1. */
static inline int tl_all_within(const int64_t *restrict at, ptrdiff_t count, int64_t n) {
    uint64_t outside = 0;
    for (ptrdiff_t j = 0; j < count; j++) outside |= (uint64_t)((uint64_t)at[j] >= (uint64_t)n);
    return outside == 0;
}

/* out[j] = x[rows[j]] */
static inline void tl_take_8(uint8_t *restrict out, const uint8_t *restrict x, const int64_t *restrict rows, ptrdiff_t count) {
    for (ptrdiff_t j = 0; j < count; j++) out[j] = x[rows[j]];
}

/* The same for every index up to the first eight of which one is not among 0 ... n - 1, which are looked at on the way. Returns: how many. */
static inline ptrdiff_t tl_take_within_32(
    uint32_t *restrict out, const uint32_t *restrict x, const int64_t *restrict rows, ptrdiff_t count, int64_t n
) {
    ptrdiff_t j = 0;
#if defined(__AVX512F__)
    const float *f = (const float *)x;
    for (; j + 8 <= count; j += 8) {
        const int64_t *r = rows + j;
        if (_mm512_cmpge_epu64_mask(_mm512_loadu_si512(r), _mm512_set1_epi64(n))) break;
        const __m128 low = _mm_setr_ps(f[r[0]], f[r[1]], f[r[2]], f[r[3]]);
        const __m128 high = _mm_setr_ps(f[r[4]], f[r[5]], f[r[6]], f[r[7]]);
        _mm_storeu_ps((float *)out + j, low);
        _mm_storeu_ps((float *)out + j + 4, high);
    }
#endif
    return j;
}

static inline ptrdiff_t tl_take_within_64(
    uint64_t *restrict out, const uint64_t *restrict x, const int64_t *restrict rows, ptrdiff_t count, int64_t n
) {
    ptrdiff_t j = 0;
#if defined(__AVX512F__)
    const double *f = (const double *)x;
    for (; j + 8 <= count; j += 8) {
        const int64_t *r = rows + j;
        if (_mm512_cmpge_epu64_mask(_mm512_loadu_si512(r), _mm512_set1_epi64(n))) break;
        for (int k = 0; k < 8; k += 2) _mm_storeu_pd((double *)out + j + k, _mm_setr_pd(f[r[k]], f[r[k + 1]]));
    }
#endif
    return j;
}

/* Loads of one word each are in flight together; a gather instruction holds back what follows it, which costs half where memory is far. */
static inline void tl_take_32(uint32_t *restrict out, const uint32_t *restrict x, const int64_t *restrict rows, ptrdiff_t count) {
    ptrdiff_t j = 0;
#if defined(__SSE2__)
    const float *f = (const float *)x;
    for (; j + 8 <= count; j += 8) {
        const int64_t *r = rows + j;
        const __m128 low = _mm_setr_ps(f[r[0]], f[r[1]], f[r[2]], f[r[3]]);
        const __m128 high = _mm_setr_ps(f[r[4]], f[r[5]], f[r[6]], f[r[7]]);
        _mm_storeu_ps((float *)out + j, low);
        _mm_storeu_ps((float *)out + j + 4, high);
    }
#endif
    for (; j < count; j++) out[j] = x[rows[j]];
}

static inline void tl_take_64(uint64_t *restrict out, const uint64_t *restrict x, const int64_t *restrict rows, ptrdiff_t count) {
    ptrdiff_t j = 0;
#if defined(__SSE2__)
    const double *f = (const double *)x;
    for (; j + 4 <= count; j += 4) {
        const int64_t *r = rows + j;
        _mm_storeu_pd((double *)out + j, _mm_setr_pd(f[r[0]], f[r[1]]));
        _mm_storeu_pd((double *)out + j + 2, _mm_setr_pd(f[r[2]], f[r[3]]));
    }
#endif
    for (; j < count; j++) out[j] = x[rows[j]];
}

/* Rows that are asked for before they are needed: as many as memory answers at once, fewer where a row is several lines. */
static inline ptrdiff_t tl_rows_ahead(ptrdiff_t nbytes) {
    return nbytes <= 64 ? 32 : nbytes <= 128 ? 16 : 8;
}

static inline void tl_fetch_row(const char *row, ptrdiff_t nbytes, int write) {
    if (nbytes > 512) nbytes = 512;
    for (ptrdiff_t k = 0; k < nbytes; k += 64) {
        if (write) __builtin_prefetch(row + k, 1);
        else __builtin_prefetch(row + k);
    }
}

/* A row of whole lines. `past` writes past the caches: a large output that nothing reads soon does not first come in to be overwritten. */
static inline void tl_copy_lines(char *restrict to, const char *restrict from, ptrdiff_t nbytes, int past) {
#if defined(__AVX512F__)
    if (past) {
        for (ptrdiff_t k = 0; k < nbytes; k += 64) _mm512_stream_si512((__m512i *)(to + k), _mm512_loadu_si512(from + k));
        return;
    }
#elif defined(__AVX2__)
    if (past) {
        for (ptrdiff_t k = 0; k < nbytes; k += 32)
            _mm256_stream_si256((__m256i *)(to + k), _mm256_loadu_si256((const __m256i *)(from + k)));
        return;
    }
#endif
    for (ptrdiff_t k = 0; k < nbytes; k += 64) memcpy(to + k, from + k, 64);
}

/* What was written past the caches is in order with what follows. */
static inline void tl_written_past(void) {
#if defined(__AVX512F__) || defined(__AVX2__)
    _mm_sfence();
#endif
}

/* Whether no row is below 0 or comes after one of a greater number, as the ids of segments mostly do. Others end it soon. Of two numbers
   that are not below 0 the difference has the sign bit where they go down. */
static inline int tl_ascending(const int64_t *restrict rows, ptrdiff_t count) {
    ptrdiff_t j = 1, length = 16;
    while (j < count) {
        const ptrdiff_t stop = j + length < count ? j + length : count;
        uint64_t signs = (uint64_t)rows[j - 1];
        for (; j < stop; j++) signs |= ((uint64_t)rows[j] - (uint64_t)rows[j - 1]) | (uint64_t)rows[j];
        if (signs >> 63) return 0;
        length = 512;
    }
    return 1;
}

/* Four parts of ascending rows that have no row in common: starts[k] ... starts[k + 1] - 1. Returns: the length of the shortest. */
static inline ptrdiff_t tl_four_parts(ptrdiff_t *starts, const int64_t *restrict rows, ptrdiff_t count) {
    ptrdiff_t shortest = count;
    starts[0] = 0;
    starts[4] = count;
    for (ptrdiff_t k = 1; k < 4; k++) {
        ptrdiff_t j = k * count / 4;
        if (j < starts[k - 1]) j = starts[k - 1];
        while (j > 0 && j < count && rows[j] == rows[j - 1]) j++;
        starts[k] = j;
    }
    for (ptrdiff_t k = 0; k < 4; k++)
        if (starts[k + 1] - starts[k] < shortest) shortest = starts[k + 1] - starts[k];
    return shortest;
}

/* out[rows[j]] += v[j], in order. Each sum waits for the one before in the same row, so ascending rows are added in four parts at once, or
   summed row by row where each has many terms; the numbers of the rows that follow are fetched meanwhile. `far`: the rows lie in memory, and
   are asked for before they are needed. */
#define TL_ADD_ROWS(T, suffix)                                                                                                    \
    static inline void tl_add_runs_##suffix(T *out, const T *restrict v, const int64_t *restrict rows, ptrdiff_t j, ptrdiff_t stop) { \
        while (j < stop) {                                                                                                        \
            const int64_t row = rows[j];                                                                                          \
            T sum = out[row] + v[j++];                                                                                            \
            while (j < stop && rows[j] == row) sum += v[j++];                                                                     \
            out[row] = sum;                                                                                                       \
        }                                                                                                                         \
    }                                                                                                                             \
    static __attribute__((noinline, unused)) void tl_add_ascending_##suffix(T *out, const T *restrict v,\
  const int64_t *restrict rows, ptrdiff_t count) {    \
        if ((rows[count - 1] - rows[0]) * 32 < count) {                                                                           \
            tl_add_runs_##suffix(out, v, rows, 0, count);                                                                         \
            return;                                                                                                               \
        }                                                                                                                         \
        ptrdiff_t s[5], j;                                                                                                        \
        const ptrdiff_t shortest = tl_four_parts(s, rows, count);                                                                 \
        const int64_t *r1 = rows + s[1], *r2 = rows + s[2], *r3 = rows + s[3];                                                    \
        const T *v1 = v + s[1], *v2 = v + s[2], *v3 = v + s[3];                                                                   \
        for (j = 0; j < shortest; j++) {                                                                                          \
            __builtin_prefetch((const char *)(rows + count) + 32 * j);                                                            \
            out[rows[j]] += v[j];                                                                                                 \
            out[r1[j]] += v1[j];                                                                                                  \
            out[r2[j]] += v2[j];                                                                                                  \
            out[r3[j]] += v3[j];                                                                                                  \
        }                                                                                                                         \
        for (ptrdiff_t k = 0; k < 4; k++) tl_add_runs_##suffix(out, v, rows, s[k] + shortest, s[k + 1]);                          \
    }                                                                                                                             \
    static __attribute__((noinline, unused)) void tl_add_ones_##suffix(T *out, const T *restrict v, const int64_t *restrict rows, \
                                                                       ptrdiff_t count, int far) {                                \
        const ptrdiff_t ahead = 64;                                                                                               \
        ptrdiff_t j = 0;                                                                                                          \
        if (far)                                                                                                                  \
            for (; j + ahead < count; j++) {                                                                                      \
                __builtin_prefetch(out + rows[j + ahead], 1);                                                                     \
                out[rows[j]] += v[j];                                                                                             \
            }                                                                                                                     \
        for (; j + 4 <= count; j += 4) {                                                                                          \
            out[rows[j]] += v[j];                                                                                                 \
            out[rows[j + 1]] += v[j + 1];                                                                                         \
            out[rows[j + 2]] += v[j + 2];                                                                                         \
            out[rows[j + 3]] += v[j + 3];                                                                                         \
        }                                                                                                                         \
        for (; j < count; j++) out[rows[j]] += v[j];                                                                              \
    }                                                                                                                             \
    static inline void tl_add_row_##suffix(T *restrict out, const T *restrict v, ptrdiff_t n) {                                   \
        if (n == 16) {                                                                                                            \
            for (ptrdiff_t k = 0; k < 16; k++) out[k] += v[k];                                                                    \
        } else {                                                                                                                  \
            for (ptrdiff_t k = 0; k < n; k++) out[k] += v[k];                                                                     \
        }                                                                                                                         \
    }
TL_ADD_ROWS(float, f32)
TL_ADD_ROWS(double, f64)

#endif
