/* One kind of entry of order.h: TL_ENTRY its type, TL_KEY(e) its key, TL_KEY_BYTES of that, TL_NAME(name) the functions' names. Sorts are
 * stable and by the key alone. */

/* Short rows: runs of entries put in place one by one, then merged. The result is in `a`; b is room for n entries. */
static void TL_NAME(tl_merge_sort)(TL_ENTRY *a, TL_ENTRY *b, int64_t n) {
    TL_ENTRY *const home = a;
    for (int64_t first = 0; first < n; first += TL_RUN) {
        const int64_t stop = first + TL_RUN < n ? first + TL_RUN : n;
        for (int64_t i = first + 1; i < stop; i++) {
            const TL_ENTRY e = a[i];
            int64_t j = i;
            for (; j > first && TL_KEY(e) < TL_KEY(a[j - 1]); j--) a[j] = a[j - 1];
            a[j] = e;
        }
    }
    for (int64_t run = TL_RUN; run < n; run *= 2) {
        for (int64_t first = 0; first < n; first += 2 * run) {
            const int64_t middle = first + run < n ? first + run : n, stop = first + 2 * run < n ? first + 2 * run : n;
            int64_t i = first, j = middle;
            for (int64_t k = first; k < stop; k++) {
                const int right = i == middle || (j < stop && TL_KEY(a[j]) < TL_KEY(a[i]));
                b[k] = a[right ? j : i];
                i += !right;
                j += right;
            }
        }
        TL_ENTRY *const other = a;
        a = b;
        b = other;
    }
    if (a != home) memcpy(home, a, n * sizeof(TL_ENTRY));
}

/* Long ones: byte by byte of the key from the last, all counted in one pass; a byte that all have is passed over. The result is in `a`. */
static void TL_NAME(tl_radix_sort)(TL_ENTRY *a, TL_ENTRY *b, int64_t n) {
    TL_ENTRY *const home = a;
    uint32_t count[TL_KEY_BYTES][256];
    memset(count, 0, sizeof count);
    for (int64_t i = 0; i < n; i++)
        for (int d = 0; d < TL_KEY_BYTES; d++) count[d][TL_KEY(a[i]) >> 8 * d & 255]++;
    for (int d = 0; d < TL_KEY_BYTES; d++) {
        uint32_t at[256], total = 0;
        if (count[d][TL_KEY(a[0]) >> 8 * d & 255] == n) continue;
        for (int k = 0; k < 256; k++) {
            at[k] = total;
            total += count[d][k];
        }
        for (int64_t i = 0; i < n; i++) {
            const TL_ENTRY e = a[i];
            b[at[TL_KEY(e) >> 8 * d & 255]++] = e;
        }
        TL_ENTRY *const other = a;
        a = b;
        b = other;
    }
    if (a != home) memcpy(home, a, n * sizeof(TL_ENTRY));
}

static inline void TL_NAME(tl_sort)(TL_ENTRY *a, TL_ENTRY *b, int64_t n) {
    if (n < TL_RADIX_FROM)
        TL_NAME(tl_merge_sort)(a, b, n);
    else
        TL_NAME(tl_radix_sort)(a, b, n);
}

#undef TL_ENTRY
#undef TL_KEY
#undef TL_KEY_BYTES
#undef TL_NAME
