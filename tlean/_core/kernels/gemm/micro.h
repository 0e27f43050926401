/* The register-blocked micro-kernel that matrix products, convolution and attention share, for float (_f32) and double (_f64).
 *
 * A product C (m x n) = A (m x k) B (k x n) is cut into tiles of at most TL_MR rows and TL_NR_f32 (TL_NR_f64) columns whose sums stay in
 * registers while k runs. TL_MR rows times TL_NV vectors of the widest kind the instruction set has: 14 x 2 of 64 bytes (AVX-512),
 * 6 x 2 of 32 bytes (AVX2), 6 x 2 of 16 bytes (SSE2 and the rest). X below is f32 or f64, T for float or double; sizes are int64_t.
 *
 *   void tl_micro_X(mr, nr, k, a, a_row, a_k, b, b_k, c, ldc, add)
 *       C[i*ldc + j] (+)= sum over p < k of A[i*a_row + p*a_k] * B[p*b_k + j],   i < mr <= TL_MR, j < nr <= TL_NR_X.
 *       add = 0 stores, add = 1 adds the finished sum to what C holds. k = 0 is allowed (sums of nothing).
 *       a_row = 1 is a packed panel or a transposed operand; any other a_row takes a_k = 1 too (rows of a row-major matrix, unpacked).
 *       Every element's sum runs over p in ascending order in one accumulator, so its bits depend on its row of A and its column of B
 *       alone, not on mr, nr, or its place in a tile.
 *       Reads of B are whole vectors: B[p*b_k + j] must be readable up to j rounded up to TL_LANES_X (packed panels are).
 *       Neither operand needs alignment; packed panels of B at 64-byte addresses are fastest.
 *
 *   void tl_pack_a_X(T *dst, src, row, k_step, mr, k)      dst[p*mr + i] = src[i*row + p*k_step]: a panel k x mr for `a_row = 1, a_k = mr`.
 *   void tl_pack_b_X(T *dst, src, k_step, col, k, nr)      dst[p*TL_NR_X + j] = src[p*k_step + j*col], zero for nr <= j < nr rounded up to
 *       TL_LANES_X: a panel k x TL_NR_X for `b_k = TL_NR_X`. Both are fast when either stride is 1.
 *   void tl_pack_panels_X(T *dst, panel, src, k_step, width, panels, k)      Several neighbouring panels of one width where the source runs
 *       along it: dst[q*panel + p*width + i] = src[p*k_step + q*width + i], q < panels. A line of memory that panels share is read once;
 *       at a stride of a power of two it would be gone from the caches before the next panel came by.
 *   int64_t tl_even_panel(n, most)      The size <= most that cuts n into the fewest panels of almost equal size: 16 rows are better
 *       done as 8 + 8 than as 14 + 2. The last panel may be smaller.
 *
 * Compiled with -ffp-contract=fast, so a product and its sum are one fma where the instruction set has it.
 */
#ifndef TLEAN_MICRO_H
#define TLEAN_MICRO_H
#include "kernel.h"
#include "simd/by_type.h"
#include "simd/width.h"
#include <string.h>
#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

#define TL_MR (TL_VECTOR_BYTES == 64 ? 14 : 6)
#define TL_NV 2
#define TL_NR_f32 (TL_NV * TL_LANES_f32)
#define TL_NR_f64 (TL_NV * TL_LANES_f64)

TL_INLINE int64_t tl_even_panel(int64_t n, int64_t most) {
    if (n <= most) return n > 0 ? n : 1;
    int64_t panels = (n + most - 1) / most;
    return (n + panels - 1) / panels;
}

/* A line that will be read and written once the sums of a tile are made: into the second-level cache. The first has no room for it, since
 * rows of C a power of two apart share their places there. */
TL_INLINE void tl_expect(const void *at) { __builtin_prefetch(at, 0, 2); }

#define TL_X(name) TL_JOIN(name, TL_SUFFIX)

#define TL_T float
#define TL_SUFFIX f32
#define TL_INT int32_t
#include "simd/vector_template.h"
#include "kernels/gemm/micro_template.h"
#undef TL_T
#undef TL_SUFFIX
#undef TL_INT

#define TL_T double
#define TL_SUFFIX f64
#define TL_INT int64_t
#include "simd/vector_template.h"
#include "kernels/gemm/micro_template.h"
#undef TL_T
#undef TL_SUFFIX
#undef TL_INT

#define tl_micro(mr, nr, k, a, ...) TL_OF(tl_micro, a)(mr, nr, k, a, __VA_ARGS__)
#define tl_pack_a(dst, ...) TL_CALL(tl_pack_a, dst, __VA_ARGS__)
#define tl_pack_b(dst, ...) TL_CALL(tl_pack_b, dst, __VA_ARGS__)
#define tl_pack_panels(dst, ...) TL_CALL(tl_pack_panels, dst, __VA_ARGS__)
#endif
