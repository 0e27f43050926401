/* Philox4x32-10, the counter-based generator of Salmon, Moraes, Dror and Shaw (SC'11, section 3.3), TL_PHILOX_LANES blocks at a time.
 *
 * Key words k0, k1 are the halves of a 64-bit seed; the counter of block b is (low b, high b, 0, stream). The lanes of a call are the
 * blocks block ... block + TL_PHILOX_LANES - 1, which must not cross a multiple of 2^32: `block` is a multiple of the lane count.
 */
#ifndef TLEAN_PHILOX_H
#define TLEAN_PHILOX_H
#include <stddef.h>
#include "kernel.h"

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
    for (int r = 0; r < 10; r++) tl_philox_round(&c[0], &c[1], &c[2], &c[3], k0 + (uint32_t)r * 0x9E3779B9u, k1 + (uint32_t)r * 0xBB67AE85u);
}

/* w[j][k] = word j of block (block + k), stream 0. */
static void tl_philox_lanes(uint32_t w[4][TL_PHILOX_LANES], uint64_t seed, uint64_t block) {
    const uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32), low = (uint32_t)block, high = (uint32_t)(block >> 32);
    for (uint32_t k = 0; k < TL_PHILOX_LANES; k++) {
        uint32_t c0 = low + k, c1 = high, c2 = 0, c3 = 0;
#define R(r) tl_philox_round(&c0, &c1, &c2, &c3, k0 + r * 0x9E3779B9u, k1 + r * 0xBB67AE85u);
        R(0u) R(1u) R(2u) R(3u) R(4u) R(5u) R(6u) R(7u) R(8u) R(9u)
#undef R
        w[0][k] = c0;
        w[1][k] = c1;
        w[2][k] = c2;
        w[3][k] = c3;
    }
}

/* The uniform numbers of those blocks: 4 floats or 2 doubles of each, in order. */
#define TL_UNIFORMS_f32 (4 * TL_PHILOX_LANES)
static void tl_uniforms_f32(float *TL_RESTRICT u, uint64_t seed, uint64_t block) {
    uint32_t w[4][TL_PHILOX_LANES];
    tl_philox_lanes(w, seed, block);
    for (int k = 0; k < TL_PHILOX_LANES; k++) {
        u[4 * k] = (float)(int32_t)(w[0][k] >> 8) * 0x1p-24f;
        u[4 * k + 1] = (float)(int32_t)(w[1][k] >> 8) * 0x1p-24f;
        u[4 * k + 2] = (float)(int32_t)(w[2][k] >> 8) * 0x1p-24f;
        u[4 * k + 3] = (float)(int32_t)(w[3][k] >> 8) * 0x1p-24f;
    }
}

#define TL_UNIFORMS_f64 (2 * TL_PHILOX_LANES)
static void tl_uniforms_f64(double *TL_RESTRICT u, uint64_t seed, uint64_t block) {
    uint32_t w[4][TL_PHILOX_LANES];
    tl_philox_lanes(w, seed, block);
    for (int k = 0; k < TL_PHILOX_LANES; k++) {
        u[2 * k] = ((double)(int32_t)(w[0][k] >> 5) * 0x1p26 + (double)(int32_t)(w[1][k] >> 6)) * 0x1p-53;
        u[2 * k + 1] = ((double)(int32_t)(w[2][k] >> 5) * 0x1p26 + (double)(int32_t)(w[3][k] >> 6)) * 0x1p-53;
    }
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
#endif
