/* A range of an array that is repeated along axes, written out: what a block of a fused group reads of an operand that broadcasts.
 *
 * The pattern repeats beyond the last element. `axes` are the number of axes, their sizes and their strides in elements, the outermost first; a stride of 0 repeats.
 */
#ifndef TLEAN_STRETCH_H
#define TLEAN_STRETCH_H
#include <stdint.h>
#include <string.h>
#include "simd/width.h"

enum { TL_MOST_AXES = 64 };

/* Where the repeated array has its element number `first`. */
static inline int64_t tl_stretched_at(const int64_t *axes, int64_t first) {
    const int64_t *size = axes + 1, *stride = size + axes[0];
    int64_t at = 0;
    for (int64_t k = axes[0] - 1; k >= 0; k--) {
        at += first % size[k] * stride[k];
        first /= size[k];
    }
    return at;
}

/* Elements first … first + count − 1 of the repeated array. The innermost axis goes run by run: one value repeated, neighbours copied, or
 * others collected. A run that the next axis repeats is written once; the rest is copied from what is there, each time twice as much. */
#define TL_STRETCH(name, word) \
    typedef word tl_words_##name __attribute__((vector_size(TL_VECTOR_BYTES), aligned(sizeof(word)), may_alias)); \
    static void name(void *to, const void *from, const int64_t *axes, int64_t first, int64_t count) { \
        word *out = to; \
        const word *x = from; \
        const int64_t last = axes[0] - 1, *size = axes + 1, *stride = size + axes[0], inner = stride[last]; \
        const int repeats = inner != 0 && last > 0 && stride[last - 1] == 0; \
        int64_t at[TL_MOST_AXES]; \
        for (int64_t k = last, rest = first; k >= 0; k--) { \
            at[k] = rest % size[k]; \
            rest /= size[k]; \
            x += at[k] * stride[k]; \
        } \
        while (count > 0) { \
            int64_t run = size[last] - at[last], k = last - 1; \
            if (run > count) run = count; \
            if (inner == 0) { \
                /* Whole vectors where there is room: what goes beyond the run is written over by the next one. */ \
                const tl_words_##name value = *x - (tl_words_##name){0}; \
                const int64_t lanes = TL_VECTOR_BYTES / sizeof(word); \
                for (int64_t i = 0; i < run; i += lanes) { \
                    if (i + lanes <= count) { \
                        *(tl_words_##name *)(out + i) = value; \
                    } else { \
                        for (int64_t j = i; j < run; j++) out[j] = *x; \
                    } \
                } \
            } else if (inner == 1) { \
                memcpy(out, x, run * sizeof(word)); \
            } else { \
                for (int64_t i = 0; i < run; i++) out[i] = x[i * inner]; \
            } \
            x -= at[last] * inner; \
            if (repeats && run == size[last]) { \
                int64_t times = size[k] - at[k], done = run; \
                if (times > count / run) times = count / run; \
                for (int64_t more; done < times * run; done += more) { \
                    more = times * run - done < done ? times * run - done : done; \
                    memcpy(out + done, out, more * sizeof(word)); \
                } \
                at[k] += times - 1; \
                run = done; \
            } \
            out += run; \
            count -= run; \
            for (at[last] = 0; k >= 0; k--) { \
                x += stride[k]; \
                if (++at[k] < size[k]) break; \
                x -= size[k] * stride[k]; \
                at[k] = 0; \
            } \
        } \
    }
TL_STRETCH(tl_stretch_f32, uint32_t)
TL_STRETCH(tl_stretch_f64, uint64_t)
#endif
