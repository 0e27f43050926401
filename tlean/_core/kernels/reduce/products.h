/* Running products of neighbouring rows, one row in each lane: a row alone waits for each of its multiplications.
 *
 *   tl_running_products_X(y, x, n, reverse, exclusive)     of TL_LANES_X rows of n numbers: y[j] = x[0]·…·x[j], from the end in reverse,
 *                                                          without x[j] where it is exclusive. The products are in double precision.
 *
 * Tiles of as many columns as rows are transposed, and so is what is made of them; y is not x.
 */
#ifndef TLEAN_PRODUCTS_H
#define TLEAN_PRODUCTS_H
#include <stdint.h>
#include <string.h>

#include "kernel.h"
#include "simd/moves.h"
#include "simd/width.h"

/* Rows whose products fill a vector of doubles; a tile of float32 has two such halves. */
#define TL_HALF TL_LANES_f64
typedef double tl_products __attribute__((vector_size(8 * TL_HALF)));
typedef float tl_half_f32 __attribute__((vector_size(4 * TL_HALF)));
typedef double tl_half_f64 __attribute__((vector_size(8 * TL_HALF)));

#define TL_RUNNING_PRODUCTS(T, x_)                                                                                              \
    enum { TL_HALVES_##x_ = TL_LANES_##x_ / TL_HALF };                                                                          \
    /* One column: entry i of each row, TL_LANES_X numbers. */                                                                  \
    TL_INLINE void tl_product_step_##x_(tl_products *total, const T *in, T *out, const int exclusive) {                         \
        _Pragma("GCC unroll 2") for (int h = 0; h < TL_HALVES_##x_; h++) {                                                      \
            tl_half_##x_ v, made;                                                                                               \
            memcpy(&v, in + h * TL_HALF, sizeof v);                                                                             \
            const tl_products next = total[h] * __builtin_convertvector(v, tl_products);                                        \
            made = __builtin_convertvector(exclusive ? total[h] : next, tl_half_##x_);                                          \
            memcpy(out + h * TL_HALF, &made, sizeof made);                                                                      \
            total[h] = next;                                                                                                    \
        }                                                                                                                       \
    }                                                                                                                           \
    TL_INLINE void tl_product_lines_##x_(T *y, const T *x, int64_t n, T *in, T *out, const int reverse, const int exclusive) {  \
        enum { L = TL_LANES_##x_ };                                                                                             \
        tl_products total[TL_HALVES_##x_];                                                                                      \
        for (int h = 0; h < TL_HALVES_##x_; h++) total[h] = 1.0 - (tl_products){0};                                             \
        for (int64_t done = 0, count; done < n; done += count) {                                                                \
            /* In reverse the columns that make no tile come first. */                                                          \
            const int64_t rest = reverse ? (n - done) % L : n - done;                                                           \
            count = rest && rest < L ? rest : L;                                                                                \
            const int64_t first = reverse ? n - done - count : done;                                                            \
            if (count == L) {                                                                                                   \
                tl_tile_##x_(in, L, x + first, n);                                                                              \
            } else {                                                                                                            \
                for (int64_t i = 0; i < count; i++)                                                                             \
                    for (int64_t k = 0; k < L; k++) in[i * L + k] = x[k * n + first + i];                                       \
            }                                                                                                                   \
            for (int64_t i = 0; i < count; i++) {                                                                               \
                const int64_t j = reverse ? count - 1 - i : i;                                                                  \
                tl_product_step_##x_(total, in + j * L, out + j * L, exclusive);                                                \
            }                                                                                                                   \
            if (count == L) {                                                                                                   \
                tl_tile_##x_(y + first, n, out, L);                                                                             \
            } else {                                                                                                            \
                for (int64_t i = 0; i < count; i++)                                                                             \
                    for (int64_t k = 0; k < L; k++) y[k * n + first + i] = out[i * L + k];                                      \
            }                                                                                                                   \
        }                                                                                                                       \
    }                                                                                                                           \
    static __attribute__((noinline)) void tl_product_tiles_##x_(                                                                \
        T *y, const T *x, int64_t n, T *in, T *out, int reverse, int exclusive) {                                               \
        if (reverse) {                                                                                                          \
            if (exclusive) tl_product_lines_##x_(y, x, n, in, out, 1, 1);                                                       \
            else tl_product_lines_##x_(y, x, n, in, out, 1, 0);                                                                 \
        } else {                                                                                                                \
            if (exclusive) tl_product_lines_##x_(y, x, n, in, out, 0, 1);                                                       \
            else tl_product_lines_##x_(y, x, n, in, out, 0, 0);                                                                 \
        }                                                                                                                       \
    }                                                                                                                           \
    static void tl_running_products_##x_(T *y, const T *x, int64_t n, int reverse, int exclusive) {                             \
        T tiles[2][TL_LANES_##x_ * TL_LANES_##x_] __attribute__((aligned(64)));                                                 \
        tl_product_tiles_##x_(y, x, n, tiles[0], tiles[1], reverse, exclusive);                                                 \
    }
TL_RUNNING_PRODUCTS(float, f32)
TL_RUNNING_PRODUCTS(double, f64)
#endif
