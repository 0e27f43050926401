/* Arithmetic of integers as the formulas of ops/integers/forms.py have it: modulo 2 to the power of the bits, and never undefined. What
 * has no result there is what NumPy gives: 0 for a quotient or a remainder by 0. Text that C and CUDA C share. */
#ifndef TLEAN_INTEGERS_H
#define TLEAN_INTEGERS_H
#ifndef TL_INTEGER_FN
#include "kernel.h"
#define TL_INTEGER_FN TL_INLINE
#endif

#define TL_INTEGER_TYPE(suffix, T, U, bits)                                                                             \
    TL_INTEGER_FN T tl_add_##suffix(T a, T b) { return (T)((U)a + (U)b); }                                              \
    TL_INTEGER_FN T tl_sub_##suffix(T a, T b) { return (T)((U)a - (U)b); }                                              \
    TL_INTEGER_FN T tl_mul_##suffix(T a, T b) { return (T)((U)a * (U)b); }                                              \
    TL_INTEGER_FN T tl_neg_##suffix(T x) { return (T)((U)0 - (U)x); }                                                   \
    TL_INTEGER_FN T tl_abs_##suffix(T x) { return x < 0 ? tl_neg_##suffix(x) : x; }                                     \
    TL_INTEGER_FN T tl_sign_##suffix(T x) { return (T)((x > 0) - (x < 0)); }                                            \
    TL_INTEGER_FN T tl_max_##suffix(T a, T b) { return a > b ? a : b; }                                                 \
    TL_INTEGER_FN T tl_min_##suffix(T a, T b) { return a < b ? a : b; }                                                 \
    TL_INTEGER_FN T tl_pow_##suffix(T x, T c) {                                                                         \
        U y = 1, base = (U)x;                                                                                           \
        for (; c > 0; c >>= 1, base *= base) if (c & 1) y *= base;                                                      \
        return (T)y;                                                                                                    \
    }                                                                                                                   \
    TL_INTEGER_FN T tl_floor_divide_##suffix(T a, T b) {                                                                \
        if (b == 0) return 0;                                                                                           \
        if (b == -1) return tl_neg_##suffix(a);                                                                         \
        return (T)(a / b - (a % b != 0 && (a < 0) != (b < 0)));                                                         \
    }                                                                                                                   \
    TL_INTEGER_FN T tl_remainder_##suffix(T a, T b) {                                                                   \
        if (b == 0 || b == -1) return 0;                                                                                \
        return (T)(a % b + ((a % b != 0 && (a < 0) != (b < 0)) ? b : 0));                                               \
    }                                                                                                                   \
    TL_INTEGER_FN T tl_bitwise_and_##suffix(T a, T b) { return (T)(a & b); }                                            \
    TL_INTEGER_FN T tl_bitwise_or_##suffix(T a, T b) { return (T)(a | b); }                                             \
    TL_INTEGER_FN T tl_bitwise_xor_##suffix(T a, T b) { return (T)(a ^ b); }                                            \
    TL_INTEGER_FN T tl_bitwise_not_##suffix(T x) { return (T)~x; }                                                      \
    TL_INTEGER_FN T tl_left_shift_##suffix(T a, T b) { return (U)b < bits ? (T)((U)a << b) : 0; }                       \
    TL_INTEGER_FN T tl_right_shift_##suffix(T a, T b) { return (T)(a >> ((U)b < bits ? b : bits - 1)); }

TL_INTEGER_TYPE(i64, int64_t, uint64_t, 64)
TL_INTEGER_TYPE(i32, int32_t, uint32_t, 32)
TL_INTEGER_FN uint8_t tl_max_b8(uint8_t a, uint8_t b) { return a > b ? a : b; }
TL_INTEGER_FN uint8_t tl_min_b8(uint8_t a, uint8_t b) { return a < b ? a : b; }
#endif
