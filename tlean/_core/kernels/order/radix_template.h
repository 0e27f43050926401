/* One kind of entry of order.h: TL_ENTRY its type, TL_KEY(e) its key of type TL_WORD, TL_NAME(name) the functions' names. Sorts are stable and
 * by the key alone. */

/* At most TL_RUN entries, each put where those that come before it say: they are counted side by side, in whole vectors. */
static inline void TL_NAME(tl_rank_sort)(TL_ENTRY *a, int64_t n) {
    TL_ENTRY from[TL_RUN];
    TL_WORD keys[TL_RUN] = {0}, rank[TL_RUN] = {0};
    for (int64_t i = 0; i < n; i++) {
        from[i] = a[i];
        keys[i] = TL_KEY(a[i]);
    }
    for (int64_t j = 0; j < n; j++) {
        const TL_WORD key = keys[j], before = (TL_WORD)j;
        for (TL_WORD i = 0; i < TL_RUN; i++) rank[i] += (key < keys[i]) | ((key == keys[i]) & (before < i));
    }
    for (int64_t i = 0; i < n; i++) a[rank[i]] = from[i];
}

/* Sorted runs of TL_RUN, merged two by two until they are one. The result is in `a`; b is room for n entries. */
static void TL_NAME(tl_merge)(TL_ENTRY *a, TL_ENTRY *b, int64_t n) {
    TL_ENTRY *const home = a;
    for (int64_t run = TL_RUN; run < n; run *= 2) {
        for (int64_t first = 0; first < n; first += 2 * run) {
            const int64_t middle = first + run < n ? first + run : n, stop = first + 2 * run < n ? first + 2 * run : n;
            int64_t i = first, j = middle, k = first;
            /* Which side is next is no branch: it would be guessed wrong half of the time. */
            while (i < middle && j < stop) {
                int64_t right = TL_KEY(a[j]) < TL_KEY(a[i]);
                __asm__("" : "+r"(right));
                b[k++] = a[i + ((j - i) & -right)];
                i += 1 - right;
                j += right;
            }
            memcpy(b + k, a + i, (middle - i) * sizeof(TL_ENTRY));
            memcpy(b + k + middle - i, a + j, (stop - j) * sizeof(TL_ENTRY));
        }
        TL_ENTRY *const other = a;
        a = b;
        b = other;
    }
    if (a != home) memcpy(home, a, n * sizeof(TL_ENTRY));
}

/* Long ones: byte by byte of the key from the last, all counted in one pass; a byte that all have is passed over. */
static void TL_NAME(tl_radix_sort)(TL_ENTRY *a, TL_ENTRY *b, int64_t n) {
    TL_ENTRY *const home = a;
    uint32_t count[sizeof(TL_WORD)][256];
    memset(count, 0, sizeof count);
    for (int64_t i = 0; i < n; i++)
        for (int d = 0; d < (int)sizeof(TL_WORD); d++) count[d][TL_KEY(a[i]) >> 8 * d & 255]++;
    for (int d = 0; d < (int)sizeof(TL_WORD); d++) {
        uint32_t total = 0;
        if (count[d][TL_KEY(a[0]) >> 8 * d & 255] == n) continue;
        for (int k = 0; k < 256; k++) {
            const uint32_t here = count[d][k];
            count[d][k] = total;
            total += here;
        }
        for (int64_t i = 0; i < n; i++) {
            const TL_ENTRY e = a[i];
            b[count[d][TL_KEY(e) >> 8 * d & 255]++] = e;
        }
        TL_ENTRY *const other = a;
        a = b;
        b = other;
    }
    if (a != home) memcpy(home, a, n * sizeof(TL_ENTRY));
}

static void TL_NAME(tl_sort)(TL_ENTRY *a, TL_ENTRY *b, int64_t n) {
    if (n >= TL_RADIX_FROM) {
        TL_NAME(tl_radix_sort)(a, b, n);
        return;
    }
    for (int64_t first = 0; first < n; first += TL_RUN) TL_NAME(tl_rank_sort)(a + first, n - first < TL_RUN ? n - first : TL_RUN);
    TL_NAME(tl_merge)(a, b, n);
}

#undef TL_ENTRY
#undef TL_KEY
#undef TL_NAME
