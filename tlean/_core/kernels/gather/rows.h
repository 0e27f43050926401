/* Rows by number: the loops that the compiler does not make of plain ones. */
#ifndef TLEAN_GATHER_ROWS_H
#define TLEAN_GATHER_ROWS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__AVX512F__) || defined(__AVX2__)
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

static inline void tl_take_32(uint32_t *restrict out, const uint32_t *restrict x, const int64_t *restrict rows, ptrdiff_t count) {
    ptrdiff_t j = 0;
#if defined(__AVX512F__)
    for (; j + 16 <= count; j += 16) {
        const __m256i low = _mm512_i64gather_epi32(_mm512_loadu_si512(rows + j), x, 4);
        const __m256i high = _mm512_i64gather_epi32(_mm512_loadu_si512(rows + j + 8), x, 4);
        _mm256_storeu_si256((__m256i *)(out + j), low);
        _mm256_storeu_si256((__m256i *)(out + j + 8), high);
    }
#endif
    for (; j < count; j++) out[j] = x[rows[j]];
}

static inline void tl_take_64(uint64_t *restrict out, const uint64_t *restrict x, const int64_t *restrict rows, ptrdiff_t count) {
    ptrdiff_t j = 0;
#if defined(__AVX512F__)
    for (; j + 8 <= count; j += 8) _mm512_storeu_si512(out + j, _mm512_i64gather_epi64(_mm512_loadu_si512(rows + j), x, 8));
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

#define TL_ADD_ROWS(T, suffix)                                                                                                    \
    /* out[rows[j]] += v[j], in order */                                                                                          \
    static inline void tl_add_ones_##suffix(T *out, const T *restrict v, const int64_t *restrict rows, ptrdiff_t count) {          \
        for (ptrdiff_t j = 0; j < count; j++) out[rows[j]] += v[j];                                                               \
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
