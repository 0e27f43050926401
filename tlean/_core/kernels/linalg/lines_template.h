/* Lines of memory in the lanes of vectors: included after vector_template.h with TL_T, TL_SUFFIX and TL_INT defined. Entry e of the lanes'
 * lines is the vector at e * TL_LANES_X of a buffer, which is 64-byte aligned.
 *
 *   tl_lanes_load_X(buf, from, lanes, n)    n entries from each of from[0 … lanes - 1]; the other lanes get zeros
 *   tl_lanes_store_X(buf, to, lanes, n)     likewise, to to[0 … lanes - 1]
 */
#define VL TL_X(TL_LANES)
#define VEC TL_X(tl_vec)
#define UVEC TL_X(tl_uvec)
#define AT(a, e) (*(VEC *)((a) + (e) * VL))

static void TL_X(tl_lanes_load)(TL_T *buf, void *const *from, int64_t lanes, int64_t n) {
    const TL_T *src[VL];
    for (int64_t l = 0; l < VL; l++) src[l] = from[l < lanes ? l : 0];
    for (int64_t e = 0; e < n; e += VL) {
        const int64_t part = n - e < VL ? n - e : VL;
        if (part < 3) {
            for (; e < n; e++)
                for (int64_t l = 0; l < VL; l++) buf[e * VL + l] = l < lanes ? src[l][e] : 0;
            return;
        }
        VEC r[VL];
        if (part == VL && lanes == VL) {
#pragma GCC unroll 16
            for (int l = 0; l < VL; l++) r[l] = *(const UVEC *)(src[l] + e);
        } else {
#pragma GCC unroll 16
            for (int l = 0; l < VL; l++) r[l] = l < lanes ? TL_X(tl_load_part)(src[l] + e, part) : (VEC){0};
        }
        TL_X(tl_transpose)(r);
        for (int64_t q = 0; q < part; q++) AT(buf, e + q) = r[q];
    }
}

static void TL_X(tl_lanes_store)(const TL_T *buf, void *const *to, int64_t lanes, int64_t n) {
    TL_T *dst[VL];
    for (int64_t l = 0; l < VL; l++) dst[l] = to[l < lanes ? l : 0];
    for (int64_t e = 0; e < n; e += VL) {
        const int64_t part = n - e < VL ? n - e : VL;
        if (part < 3) {
            for (; e < n; e++)
                for (int64_t l = 0; l < lanes; l++) dst[l][e] = buf[e * VL + l];
            return;
        }
        VEC r[VL];
        if (part == VL) {
#pragma GCC unroll 16
            for (int q = 0; q < VL; q++) r[q] = *(const VEC *)(buf + (e + q) * VL);
        } else {
#pragma GCC unroll 16
            for (int q = 0; q < VL; q++) r[q] = q < part ? *(const VEC *)(buf + (e + q) * VL) : (VEC){0};
        }
        TL_X(tl_transpose)(r);
        if (part == VL && lanes == VL) {
#pragma GCC unroll 16
            for (int l = 0; l < VL; l++) *(UVEC *)(dst[l] + e) = r[l];
        } else {
            for (int64_t l = 0; l < lanes; l++) TL_X(tl_store_part)(dst[l] + e, r[l], part);
        }
    }
}

#undef VL
#undef VEC
#undef UVEC
#undef AT
