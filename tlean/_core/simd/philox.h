/* Philox4x32-10, the counter-based generator of Salmon, Moraes, Dror and Shaw (SC'11, section 3.3), TL_PHILOX_LANES blocks at a time.
 *
 * Key words k0, k1 are the halves of a 64-bit seed; the counter of block b is (low b, high b, 0, stream). The lanes of a call are the
 * blocks block ... block + TL_PHILOX_LANES - 1, which must not cross a multiple of 2^32: `block` is a multiple of the lane count.
 */
#ifndef TLEAN_PHILOX_H
#define TLEAN_PHILOX_H
#include <stddef.h>
#include "kernel.h"
#include "simd/by_type.h"
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#define TL_PHILOX_LANES 16

TL_INLINE void tl_philox_round(uint32_t *c0, uint32_t *c1, uint32_t *c2, uint32_t *c3, uint32_t k0, uint32_t k1) {
    uint64_t p = (uint64_t)0xD2511F53u * *c0, q = (uint64_t)0xCD9E8D57u * *c2;
    *c0 = (uint32_t)(q >> 32) ^ *c1 ^ k0;
    *c1 = (uint32_t)q;
    *c2 = (uint32_t)(p >> 32) ^ *c3 ^ k1;
    *c3 = (uint32_t)p;
}

/* One block: c is the counter before, the four random words after. */
static void tl_philox_block(uint32_t c[4], uint32_t k0, uint32_t k1) {
    for (uint32_t r = 0; r < 10; r++) tl_philox_round(&c[0], &c[1], &c[2], &c[3], k0 + r * 0x9E3779B9u, k1 + r * 0xBB67AE85u);
}

/* The vector of 64-bit lanes, each with a 32-bit word in its low half: the processor's 32x32 -> 64 multiplication then gives both halves
 * of a product at once. High halves may hold anything; only tl_philox_store clears them. */
#if defined(__AVX512F__)
typedef __m512i tl_words;
#define TL_WORDS 8
#define TL_W_MUL _mm512_mul_epu32
#define TL_W_XOR _mm512_xor_si512
#define TL_W_HIGH(x) _mm512_srli_epi64(x, 32)
#define TL_W_ALL(x) _mm512_set1_epi64((long long)(x))
#define TL_W_COUNT(x) _mm512_add_epi64(TL_W_ALL(x), _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0))
#define TL_W_PAIR(a, b) _mm512_or_si512(_mm512_and_si512(a, TL_W_ALL(0xFFFFFFFFu)), _mm512_slli_epi64(b, 32))
TL_INLINE void tl_philox_store(uint32_t *w, tl_words p, tl_words q) {
    _mm512_storeu_si512(w, _mm512_permutex2var_epi64(p, _mm512_set_epi64(11, 3, 10, 2, 9, 1, 8, 0), q));
    _mm512_storeu_si512(w + 16, _mm512_permutex2var_epi64(p, _mm512_set_epi64(15, 7, 14, 6, 13, 5, 12, 4), q));
}
#elif defined(__AVX2__)
typedef __m256i tl_words;
#define TL_WORDS 4
#define TL_W_MUL _mm256_mul_epu32
#define TL_W_XOR _mm256_xor_si256
#define TL_W_HIGH(x) _mm256_srli_epi64(x, 32)
#define TL_W_ALL(x) _mm256_set1_epi64x((long long)(x))
#define TL_W_COUNT(x) _mm256_add_epi64(TL_W_ALL(x), _mm256_set_epi64x(3, 2, 1, 0))
#define TL_W_PAIR(a, b) _mm256_or_si256(_mm256_and_si256(a, TL_W_ALL(0xFFFFFFFFu)), _mm256_slli_epi64(b, 32))
TL_INLINE void tl_philox_store(uint32_t *w, tl_words p, tl_words q) {
    tl_words even = _mm256_unpacklo_epi64(p, q), odd = _mm256_unpackhi_epi64(p, q);
    _mm256_storeu_si256((__m256i *)w, _mm256_permute2x128_si256(even, odd, 0x20));
    _mm256_storeu_si256((__m256i *)(w + 8), _mm256_permute2x128_si256(even, odd, 0x31));
}
#elif defined(__SSE2__)
typedef __m128i tl_words;
#define TL_WORDS 2
#define TL_W_MUL _mm_mul_epu32
#define TL_W_XOR _mm_xor_si128
#define TL_W_HIGH(x) _mm_srli_epi64(x, 32)
#define TL_W_ALL(x) _mm_set1_epi64x((long long)(x))
#define TL_W_COUNT(x) _mm_add_epi64(TL_W_ALL(x), _mm_set_epi64x(1, 0))
#define TL_W_PAIR(a, b) _mm_or_si128(_mm_and_si128(a, TL_W_ALL(0xFFFFFFFFu)), _mm_slli_epi64(b, 32))
TL_INLINE void tl_philox_store(uint32_t *w, tl_words p, tl_words q) {
    _mm_storeu_si128((__m128i *)w, _mm_unpacklo_epi64(p, q));
    _mm_storeu_si128((__m128i *)(w + 4), _mm_unpackhi_epi64(p, q));
}
#else
typedef uint64_t tl_words;
#define TL_WORDS 1
#define TL_W_MUL(a, b) ((uint64_t)(uint32_t)(a) * (uint32_t)(b))
#define TL_W_XOR(a, b) ((a) ^ (b))
#define TL_W_HIGH(x) ((x) >> 32)
#define TL_W_ALL(x) ((uint64_t)(x))
#define TL_W_COUNT(x) ((uint64_t)(x))
#define TL_W_PAIR(a, b) ((uint64_t)(uint32_t)(a) | (b) << 32)
TL_INLINE void tl_philox_store(uint32_t *w, tl_words p, tl_words q) {
    w[0] = (uint32_t)p;
    w[1] = (uint32_t)(p >> 32);
    w[2] = (uint32_t)q;
    w[3] = (uint32_t)(q >> 32);
}
#endif

/* w = the words of blocks block, block + 1, ... in order, stream 0. Two vectors at a time, to hide the multiplication's latency. */
static void tl_philox_lanes(uint32_t *w, uint64_t seed, uint64_t block) {
    const uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    const tl_words m0 = TL_W_ALL(0xD2511F53u), m1 = TL_W_ALL(0xCD9E8D57u), high = TL_W_ALL(block >> 32), none = TL_W_ALL(0);
    for (int k = 0; k < TL_PHILOX_LANES; k += 2 * TL_WORDS) {
        tl_words c[2][4] = {{TL_W_COUNT(block + k), high, none, none}, {TL_W_COUNT(block + k + TL_WORDS), high, none, none}};
        for (uint32_t r = 0; r < 10; r++) {
            const tl_words a = TL_W_ALL(k0 + r * 0x9E3779B9u), b = TL_W_ALL(k1 + r * 0xBB67AE85u);
            for (int v = 0; v < 2; v++) {
                tl_words p = TL_W_MUL(c[v][0], m0), q = TL_W_MUL(c[v][2], m1);
                c[v][0] = TL_W_XOR(TL_W_XOR(TL_W_HIGH(q), c[v][1]), a);
                c[v][1] = q;
                c[v][2] = TL_W_XOR(TL_W_XOR(TL_W_HIGH(p), c[v][3]), b);
                c[v][3] = p;
            }
        }
        for (int v = 0; v < 2; v++)
            tl_philox_store(w + 4 * (k + v * TL_WORDS), TL_W_PAIR(c[v][0], c[v][1]), TL_W_PAIR(c[v][2], c[v][3]));
    }
}

/* The uniform numbers of those blocks: 4 floats or 2 doubles of each, in order. */
#define TL_UNIFORMS_f32 (4 * TL_PHILOX_LANES)
static void tl_uniforms_f32(float *TL_RESTRICT u, uint64_t seed, uint64_t block) {
    uint32_t w[4 * TL_PHILOX_LANES];
    tl_philox_lanes(w, seed, block);
    for (int k = 0; k < TL_UNIFORMS_f32; k++) u[k] = (float)(int32_t)(w[k] >> 8) * 0x1p-24f;
}

#define TL_UNIFORMS_f64 (2 * TL_PHILOX_LANES)
static void tl_uniforms_f64(double *TL_RESTRICT u, uint64_t seed, uint64_t block) {
    uint32_t w[4 * TL_PHILOX_LANES];
    tl_philox_lanes(w, seed, block);
    for (int k = 0; k < TL_UNIFORMS_f64; k++)
        u[k] = ((double)(int32_t)(w[2 * k] >> 5) * 0x1p26 + (double)(int32_t)(w[2 * k + 1] >> 6)) * 0x1p-53;
}

/* What the kernels make of n uniform numbers. */
TL_INLINE void tl_mask_f32(float *TL_RESTRICT y, const float *TL_RESTRICT u, float keep, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; i++) y[i] = u[i] < keep ? 1.0f : 0.0f;
}
TL_INLINE void tl_mask_f64(double *TL_RESTRICT y, const double *TL_RESTRICT u, double keep, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; i++) y[i] = u[i] < keep ? 1.0 : 0.0;
}
/* x may be y: an element is read, then written. */
TL_INLINE void tl_dropout_f32(float *y, const float *x, const float *TL_RESTRICT u, float keep, float factor, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; i++) y[i] = x[i] * (u[i] < keep ? factor : 0.0f);
}
TL_INLINE void tl_dropout_f64(double *y, const double *x, const double *TL_RESTRICT u, double keep, double factor, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; i++) y[i] = x[i] * (u[i] < keep ? factor : 0.0);
}
#define tl_uniforms(y, ...) TL_CALL(tl_uniforms, y, __VA_ARGS__)
#define tl_mask(y, ...) TL_CALL(tl_mask, y, __VA_ARGS__)
#define tl_dropout(y, ...) TL_CALL(tl_dropout, y, __VA_ARGS__)
#endif
