/* What lies between the rows of a box: a fused group that writes a box in a larger array writes over it, as it goes from the first element of the
 * box to the last; it is put back afterwards.
 */
#ifndef TLEAN_GAPS_H
#define TLEAN_GAPS_H
#include <stdint.h>
#include <string.h>

enum { TL_BOX_AXES = 64 };

static inline void tl_gap(char *out, const char *base, int64_t first, int64_t last) {
    if (last <= first) return;
    if (last - first <= 16) {
        /* Words: elements have 4 or 8 bytes. */
        for (int64_t i = first; i < last; i += 4) {
            uint32_t word = 0;
            if (base) memcpy(&word, base + i, 4);
            memcpy(out + i, &word, 4);
        }
    } else if (base) {
        memcpy(out + first, base + first, last - first);
    } else {
        memset(out + first, 0, last - first);
    }
}

/* `axes`: their number, sizes, strides in elements, the outermost first. The first is none: its stride is the elements of the whole array, its size
 * how many are written before the box. What is written begins at element `first` and ends before `end`. */
static inline void tl_fill_gaps(char *out, const char *base, const int64_t *axes, int64_t first, int64_t end, int64_t item) {
    const int64_t count = axes[0], *size = axes + 1, *stride = size + count, width = size[count - 1];
    int64_t index[TL_BOX_AXES] = {0}, at = first + size[0], k;
    tl_gap(out, base, 0, at * item);
    for (;;) {
        int64_t stop = at + width;
        for (k = count - 2; k > 0; k--) {
            at += stride[k];
            if (++index[k] < size[k]) break;
            at -= size[k] * stride[k];
            index[k] = 0;
        }
        if (k <= 0) break;
        tl_gap(out, base, stop * item, at * item);
    }
    tl_gap(out, base, end * item, stride[0] * item);
}
#endif
