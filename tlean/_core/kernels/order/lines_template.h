/* One element type of order.h: TL_T the type, TL_WORD the unsigned integer of its key, TL_ENCODE(x) the key, which orders as the elements do,
 * NaN above all and −0 as 0; TL_DECODE(key); TL_WIDE whether keys have 64 bits; TL_NAME(name) the functions' names. A line is n elements, each
 * `step` from the last. */

/* The line in order, in dst. `room`: for 2 n words. */
static void TL_NAME(tl_sort_line)(TL_T *dst, const TL_T *src, int64_t n, int64_t step, int descending, void *room) {
    /* Neighbours' keys are where the elements will be. */
    TL_WORD *const a = step == 1 && sizeof(TL_T) == sizeof(TL_WORD) ? (TL_WORD *)dst : (TL_WORD *)room + n;
    const TL_WORD flip = descending ? (TL_WORD)-1 : 0;
    for (int64_t i = 0; i < n; i++) a[i] = TL_ENCODE(src[i * step]) ^ flip;
    TL_KIND(tl_sort_keys)(a, room, n);
#ifdef TL_MANY_ALIKE
    /* Elements of one key are the source's, in its order: zeros of both signs, and NaNs. */
    const TL_WORD alike[2] = {TL_ENCODE(0) ^ flip, (TL_WORD)-1 ^ flip};
    int64_t first[2];
    for (int kind = 0; kind < 2; kind++) first[kind] = TL_KIND(tl_first_of)(a, n, alike[kind]);
#endif
    for (int64_t i = 0; i < n; i++) dst[i * step] = TL_DECODE(a[i] ^ flip);
#ifdef TL_MANY_ALIKE
    for (int kind = 0; kind < 2; kind++)
        if (first[kind] >= 0)
            for (int64_t i = 0, at = first[kind]; i < n; i++)
                if ((TL_ENCODE(src[i * step]) ^ flip) == alike[kind]) dst[at++ * step] = src[i * step];
#endif
}

/* The places of the line's elements in order, of equal ones in the line's; dst, where it is not NULL, gets the elements. `room`: for 2 n
 * entries. */
static void TL_NAME(tl_argsort_line)(
    TL_T *dst, int64_t *index, const TL_T *src, int64_t n, int64_t step, int descending, void *room) {
    TL_PAIR *a = room;
    const TL_WORD flip = descending ? (TL_WORD)-1 : 0;
    for (int64_t i = 0; i < n; i++) a[i] = TL_PAIRED(TL_ENCODE(src[i * step]) ^ flip, i);
    TL_KIND(tl_sort_pairs)(a, a + n, n);
    for (int64_t i = 0; i < n; i++) index[i * step] = TL_PLACE(a[i]);
    if (dst)
        for (int64_t i = 0; i < n; i++) dst[i * step] = src[index[i * step] * step];
}

/* The places of the k first of the line in order, 0 < k ≤ n. Entries that may be among them are collected, and
 * sorted when the room of TL_COLLECTED(k) is full; then the k-th is the bound for those that follow. `room`: for 2 TL_COLLECTED(k) entries. */
static void TL_NAME(tl_top_line)(int64_t *index, const TL_T *src, int64_t n, int64_t step, int64_t k, int largest, void *room) {
    TL_PAIR *a = room;
    const TL_WORD flip = largest ? (TL_WORD)-1 : 0;
    const int64_t most = TL_COLLECTED(k);
    TL_WORD keys[TL_BLOCK], bound = (TL_WORD)-1;
    int64_t count = 0;
    int bounded = 0;
    for (int64_t first = 0; first < n; first += TL_BLOCK) {
        const int64_t w = n - first < TL_BLOCK ? n - first : TL_BLOCK;
        TL_WORD any = 0;
        for (int64_t i = 0; i < w; i++) keys[i] = TL_ENCODE(src[(first + i) * step]) ^ flip;
        if (bounded) {
            for (int64_t i = 0; i < w; i++) any |= keys[i] < bound;
            if (!any) continue;
        }
        for (int64_t i = 0; i < w; i++) {
            if (bounded && keys[i] >= bound) continue;
            a[count++] = TL_PAIRED(keys[i], first + i);
            if (count < most) continue;
            TL_KIND(tl_sort_pairs)(a, a + most, count);
            count = k;
            bound = TL_KIND(tl_pair_key)(a[k - 1]);
            bounded = 1;
        }
    }
    TL_KIND(tl_sort_pairs)(a, a + most, count);
    for (int64_t i = 0; i < k; i++) index[i * step] = TL_PLACE(a[i]);
}

/* Where v would be put into a sorted line: before (right: behind) those that are equal. */
static inline int64_t TL_NAME(tl_place_in)(const TL_T *sorted, int64_t n, const TL_T *v, int right) {
    const TL_WORD key = TL_ENCODE(*v);
    int64_t low = 0, high = n;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        const TL_WORD m = TL_ENCODE(sorted[middle]);
        if (m < key || (right && m == key))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

#undef TL_MANY_ALIKE
#undef TL_T
#undef TL_ENCODE
#undef TL_DECODE
#undef TL_NAME
