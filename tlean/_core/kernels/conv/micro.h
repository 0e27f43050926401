/* Register-blocked inner loops of convolution, for float and double.
 *
 * conv_block: outputs of OB channels x NV vectors of positions, in registers over the whole reduction:
 *     out[i, opos[v] + l] = bias[i] + sum_k w[woff[k] + i ws] * x[xoff[k] + pos[v] + l],   i < OB, v < NV, l < lanes.
 * A term k is a pair (channel, kernel cell), so two lists of offsets describe every rank, stride, dilation and direction, and neither
 * operand is rearranged: x is read where it lies, w is broadcast from where it lies.
 *
 * conv_few: the same for up to CONV_FEW terms, where there are registers for what all of them read.
 *
 * dw_block: OB x KB dot products over positions, the lanes being positions of the output plane:
 *     part[j, i] += sum_s sum_p g[gslice[s] + i gs + p] * x[xslice[s] + xoff[j] + p],   i < OB, j < KB.
 *
 * OB, NV, KB are bounded so that accumulators and operands fit the registers: 32 of AVX-512, 16 of the other sets.
 */
#ifndef TL_CONV_MICRO_H
#define TL_CONV_MICRO_H
#include <stddef.h>
#include <stdint.h>
#include "kernel.h"
#include "simd/by_type.h"
#include "simd/width.h"
#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif
#if defined(__AVX512F__)
#define CONV_MASKED(x, type) _mm512_##x##_##type
#else
#define CONV_MASKED(x, type) _mm256_##x##_##type
#endif

/* Output channels that one block of partial weight gradients holds, whatever the instruction set. */
#define CONV_PART 8

#if defined(__AVX512F__) || defined(__aarch64__)
#define CONV_OB_MAX 8
static const int conv_nv_max[9] = {0, 8, 8, 6, 5, 4, 4, 3, 3};
static const int conv_kb_max[9] = {0, 9, 9, 9, 6, 4, 4, 3, 3};
#define CONV_Q_MAX 14
#define CONV_TERMS 12
#define CONV_FEW 9
#else
#define CONV_OB_MAX 6
static const int conv_nv_max[9] = {0, 8, 4, 3, 2, 2, 2, 0, 0};
static const int conv_kb_max[9] = {0, 9, 4, 3, 3, 2, 2, 0, 0};
#define CONV_Q_MAX 6
#define CONV_TERMS 6
#define CONV_FEW 0
#endif

/* Lanes of two vectors, the second's numbered on from the first's. */
#if defined(__clang__)
#define CONV_SHUFFLE(a, b, lanes, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define CONV_SHUFFLE(a, b, lanes, ...) __builtin_shuffle(a, b, (lanes){__VA_ARGS__})
#endif

/* Keeps a loaded value in a register: gcc otherwise reads it from memory again in each multiply-add that uses it.
 * Likewise an address, which gcc otherwise computes again for each element behind it. */
#if defined(__x86_64__) && defined(__GNUC__)
#define CONV_IN_REGISTER(v) __asm__("" : "+v"(v))
#define CONV_POINTER(p) __asm__("" : "+r"(p))
#else
#define CONV_IN_REGISTER(v) (void)(v)
#define CONV_POINTER(p) (void)(p)
#endif

/* Zeros and copies of short rows: whole vectors, the last one overlapping; below a vector the largest halves that fit, overlapping. `most`,
 * a constant, bounds n: the lanes of one vector need no code for more. */
typedef char conv_bytes64 __attribute__((vector_size(64), aligned(1), may_alias));
typedef char conv_bytes32 __attribute__((vector_size(32), aligned(1), may_alias));
typedef char conv_bytes16 __attribute__((vector_size(16), aligned(1), may_alias));
typedef int64_t conv_bytes8 __attribute__((aligned(1), may_alias));
typedef int32_t conv_bytes4 __attribute__((aligned(1), may_alias));
#define CONV_LOAD_COPY(type, at) (*(const type *)(at))
#define CONV_LOAD_ZERO(type, at) (type){0}
#define CONV_ENDS(type, load)                                                                                                           \
    do {                                                                                                                                \
        const type head = load(type, from), tail = load(type, from + (n - (ptrdiff_t)sizeof(type)));                                    \
        *(type *)to = head;                                                                                                             \
        *(type *)(to + (n - (ptrdiff_t)sizeof(type))) = tail;                                                                           \
    } while (0)
#define CONV_FILL(load)                                                                                                                 \
    do {                                                                                                                                \
        if (most > 64 && n > 64) {                                                                                                      \
            for (ptrdiff_t i = 0; i < n - 64; i += 64) *(conv_bytes64 *)(to + i) = load(conv_bytes64, from + i);                        \
            *(conv_bytes64 *)(to + n - 64) = load(conv_bytes64, from + n - 64);                                                         \
        } else if (most >= 32 && n >= 32) {                                                                                             \
            CONV_ENDS(conv_bytes32, load);                                                                                              \
        } else if (most >= 16 && n >= 16) {                                                                                             \
            CONV_ENDS(conv_bytes16, load);                                                                                              \
        } else if (n >= 8) {                                                                                                            \
            CONV_ENDS(conv_bytes8, load);                                                                                               \
        } else if (n == 4) {                                                                                                            \
            *(conv_bytes4 *)to = load(conv_bytes4, from);                                                                               \
        }                                                                                                                               \
    } while (0)
TL_INLINE void conv_copy(char *TL_RESTRICT to, const char *TL_RESTRICT from, ptrdiff_t n, const ptrdiff_t most) {
    CONV_FILL(CONV_LOAD_COPY);
}
TL_INLINE void conv_clear(char *TL_RESTRICT to, ptrdiff_t n) {
    const ptrdiff_t most = PTRDIFF_MAX;
    CONV_FILL(CONV_LOAD_ZERO);
}
#undef CONV_FILL
#undef CONV_ENDS
#undef CONV_LOAD_ZERO
#undef CONV_LOAD_COPY

TL_INLINE void conv_expect_write(const void *at) { __builtin_prefetch(at, 1); }
TL_INLINE void conv_expect_read(const void *at) { __builtin_prefetch(at); }
/* Into the second-level cache. */
TL_INLINE void conv_expect_soon(const void *at) { __builtin_prefetch(at, 0, 2); }

#define REAL float
#define INTEGER int32_t
#define LANES TL_LANES_f32
#define MASKED(x) CONV_MASKED(x, ps)
#define NAME(x) x##_f32
#include "kernels/conv/micro_template.h"
#undef REAL
#undef INTEGER
#undef LANES
#undef MASKED
#undef NAME
#define REAL double
#define INTEGER int64_t
#define LANES TL_LANES_f64
#define MASKED(x) CONV_MASKED(x, pd)
#define NAME(x) x##_f64
#include "kernels/conv/micro_template.h"
#undef REAL
#undef INTEGER
#undef LANES
#undef MASKED
#undef NAME

#define conv_block(channels, vectors, terms, x, ...) TL_OF(conv_block, x)[channels][vectors](terms, x, __VA_ARGS__)
#define conv_few(terms, channels, x, ...) TL_OF(conv_few, x)[terms](channels, x, __VA_ARGS__)
#define dw_block(channels, slices, gslice, xslice, run, g, ...) TL_OF(dw_block, g)[channels](slices, gslice, xslice, run, g, __VA_ARGS__)
#define cv_block(vectors, rows, positions, terms, x, ...) TL_OF(cv_block, x)[vectors][rows][positions](terms, x, __VA_ARGS__)
#define cv_weight_1(rows, xrow, columns, g, ...) TL_OF(cv_weight_1, g)(rows, xrow, columns, g, __VA_ARGS__)
#define cv_weight_2(rows, xrow, columns, g, ...) TL_OF(cv_weight_2, g)(rows, xrow, columns, g, __VA_ARGS__)
#define conv_turn(to, ...) TL_CALL(conv_turn, to, __VA_ARGS__)
#define conv_turn_padded(to, ...) TL_CALL(conv_turn_padded, to, __VA_ARGS__)
#define conv_take(to, ...) TL_CALL(conv_take, to, __VA_ARGS__)
#define conv_put(to, ...) TL_CALL(conv_put, to, __VA_ARGS__)
#define dense(size, to, ...) TL_OF(dense, to)(size, to, __VA_ARGS__)
#define dense3_weight(sums, g, ...) TL_OF(dense3_weight, g)(sums, g, __VA_ARGS__)
#define dense3_total(to, sums) TL_CALL(dense3_total, to, sums)
#define conv_unpack(to, ...) TL_CALL(conv_unpack, to, __VA_ARGS__)
#define conv_zero(to, n) TL_CALL(conv_zero, to, n)
#define conv_all_finite(x, n) TL_CALL(conv_all_finite, x, n)
#endif
