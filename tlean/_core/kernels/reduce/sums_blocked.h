/* Row sums of sums.h where the rows lie side by side, one in each lane: Σ x[i, lane], i < n, by the same additions in the same order as
 * tl_row_sum_f32 does them for one row. What is a lane there is one of the vectors here. */
#ifndef TLEAN_SUMS_BLOCKED_H
#define TLEAN_SUMS_BLOCKED_H
#include "kernels/reduce/sums.h"

#define LANES TL_LANES_f32
static void tl_row_sums_blocked(float *restrict sum, const float *restrict x, int64_t n) {
    typedef tl_sum_vec_f32 vec;
    vec total[LANES] = {{0}};
    int64_t i = 0;
    if (n < LANES) {
        vec few = {0};
        _Pragma("GCC unroll 1") for (; i < n; i++) few += tl_load_f32(x + i * LANES);
        memcpy(sum, &few, sizeof few);
        return;
    }
    if (n >= 4 * LANES) {
        vec t[4 * LANES] = {{0}}, a[4 * LANES];
        const int64_t strips = n / (4 * LANES);
        for (int64_t first = 0; first < strips; first += TL_BLOCK_STRIPS) {
            const int64_t stop = strips < first + TL_BLOCK_STRIPS ? strips : first + TL_BLOCK_STRIPS;
            int64_t s = first;
            memset(a, 0, sizeof a);
            for (; s + 2 <= stop; s += 2, i += 8 * LANES) {
                for (int k = 0; k < 4 * LANES; k++) {
                    const float *at = x + (i + k) * LANES;
                    __builtin_prefetch((const char *)at + 4096);
                    __builtin_prefetch((const char *)(at + 4 * LANES * LANES) + 4096);
                    a[k] += tl_load_f32(at) + tl_load_f32(at + 4 * LANES * LANES);
                }
            }
            for (; s < stop; s++, i += 4 * LANES)
                for (int k = 0; k < 4 * LANES; k++) a[k] += tl_load_f32(x + (i + k) * LANES);
            for (int k = 0; k < 4 * LANES; k++) t[k] += a[k];
        }
        for (int k = 0; k < LANES; k++) total[k] = (t[k] + t[k + 2 * LANES]) + (t[k + LANES] + t[k + 3 * LANES]);
    }
    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++) total[k] += tl_load_f32(x + (i + k) * LANES);
    /* The lanes of the last vector that are in the total already add nothing. */
    for (; i < n; i++) total[LANES - (n - i)] += tl_load_f32(x + i * LANES);
    for (int w = LANES / 2; w >= 1; w /= 2)
        for (int k = 0; k < w; k++) total[k] += total[k + w];
    memcpy(sum, total, sizeof total[0]);
}
#undef LANES
#endif
