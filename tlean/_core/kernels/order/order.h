/* Sorts of lines: elements as unsigned keys that order as they do, by their bytes. The order is by integers alone: the same on every
 * instruction set. */
#ifndef TLEAN_ORDER_H
#define TLEAN_ORDER_H
#include <stdint.h>
#include <string.h>

/* Entries that are ranked at once; from which length on keys are sorted by bytes; elements compared at once with a bound. */
#define TL_RUN 32
#define TL_RADIX_FROM 96
#define TL_BLOCK 256
/* Entries that are collected before the k first of them are kept. */
#define TL_COLLECTED(k) (2 * (k) + 512)

typedef struct {
    uint64_t key, place;
} tl_pair64;

/* Keys of 32 bits: beside their places they fill a word of 64. */
#define TL_WORD uint32_t
#define TL_ENTRY uint32_t
#define TL_KEY(e) (e)
#define TL_NAME(name) name##_keys_32
#include "kernels/order/radix_template.h"
#define TL_ENTRY uint64_t
#define TL_KEY(e) ((uint32_t)((e) >> 32))
#define TL_NAME(name) name##_pairs_32
#include "kernels/order/radix_template.h"
#undef TL_WORD
#define TL_WORD uint64_t
#define TL_ENTRY uint64_t
#define TL_KEY(e) (e)
#define TL_NAME(name) name##_keys_64
#include "kernels/order/radix_template.h"
#define TL_ENTRY tl_pair64
#define TL_KEY(e) ((e).key)
#define TL_NAME(name) name##_pairs_64
#include "kernels/order/radix_template.h"
#undef TL_WORD

static inline uint32_t tl_pair_key_32(uint64_t e) { return (uint32_t)(e >> 32); }
static inline uint64_t tl_pair_key_64(tl_pair64 e) { return e.key; }

/* Where a key is first in sorted keys; -1 where it is not. */
#define TL_FIRST_OF(name, word) \
    static inline int64_t name(const word *a, int64_t n, word key) { \
        int64_t low = 0, high = n; \
        while (low < high) { \
            const int64_t middle = (low + high) / 2; \
            if (a[middle] < key) \
                low = middle + 1; \
            else \
                high = middle; \
        } \
        return low < n && a[low] == key ? low : -1; \
    }
TL_FIRST_OF(tl_first_of_32, uint32_t)
TL_FIRST_OF(tl_first_of_64, uint64_t)

/* A float's bits as an integer that orders as the float: negative ones turned over, NaN above all, −0 as 0. */
static inline uint32_t tl_key_f32(float x) {
    int32_t u;
    memcpy(&u, &x, sizeof u);
    const uint32_t key = (uint32_t)u ^ ((uint32_t)(u >> 31) | UINT32_C(1) << 31);
    return x != x ? UINT32_MAX : x == 0 ? UINT32_C(1) << 31 : key;
}

static inline uint64_t tl_key_f64(double x) {
    int64_t u;
    memcpy(&u, &x, sizeof u);
    const uint64_t key = (uint64_t)u ^ ((uint64_t)(u >> 63) | UINT64_C(1) << 63);
    return x != x ? UINT64_MAX : x == 0 ? UINT64_C(1) << 63 : key;
}

static inline float tl_of_key_f32(uint32_t key) {
    const uint32_t u = key ^ ((uint32_t)((int32_t)~key >> 31) | UINT32_C(1) << 31);
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

static inline double tl_of_key_f64(uint64_t key) {
    const uint64_t u = key ^ ((uint64_t)((int64_t)~key >> 63) | UINT64_C(1) << 63);
    double x;
    memcpy(&x, &u, sizeof x);
    return x;
}

#define TL_WORD uint32_t
#define TL_PAIR uint64_t
#define TL_PAIRED(key, place) ((uint64_t)(key) << 32 | (uint64_t)(place))
#define TL_PLACE(e) ((int64_t)(uint32_t)(e))
#define TL_KIND(name) name##_32
#define TL_T float
#define TL_MANY_ALIKE
#define TL_ENCODE(x) tl_key_f32(x)
#define TL_DECODE(key) tl_of_key_f32(key)
#define TL_NAME(name) name##_f32
#include "kernels/order/lines_template.h"
#define TL_T int32_t
#define TL_ENCODE(x) ((uint32_t)(x) ^ UINT32_C(1) << 31)
#define TL_DECODE(key) ((int32_t)((key) ^ UINT32_C(1) << 31))
#define TL_NAME(name) name##_i32
#include "kernels/order/lines_template.h"
#define TL_T uint8_t
#define TL_ENCODE(x) ((uint32_t)(x))
#define TL_DECODE(key) ((uint8_t)(key))
#define TL_NAME(name) name##_b8
#include "kernels/order/lines_template.h"
#undef TL_WORD
#undef TL_PAIR
#undef TL_PAIRED
#undef TL_PLACE
#undef TL_KIND

#define TL_WORD uint64_t
#define TL_PAIR tl_pair64
#define TL_PAIRED(k, p) ((tl_pair64){.key = (k), .place = (uint64_t)(p)})
#define TL_PLACE(e) ((int64_t)(e).place)
#define TL_KIND(name) name##_64
#define TL_T double
#define TL_MANY_ALIKE
#define TL_ENCODE(x) tl_key_f64(x)
#define TL_DECODE(key) tl_of_key_f64(key)
#define TL_NAME(name) name##_f64
#include "kernels/order/lines_template.h"
#define TL_T int64_t
#define TL_ENCODE(x) ((uint64_t)(x) ^ UINT64_C(1) << 63)
#define TL_DECODE(key) ((int64_t)((key) ^ UINT64_C(1) << 63))
#define TL_NAME(name) name##_i64
#include "kernels/order/lines_template.h"
#undef TL_WORD
#undef TL_PAIR
#undef TL_PAIRED
#undef TL_PLACE
#undef TL_KIND

#define TL_BY_ELEMENT(name, p) \
    _Generic(*(p), float: name##_f32, double: name##_f64, int32_t: name##_i32, int64_t: name##_i64, uint8_t: name##_b8)
#define tl_sort_line(dst, src, ...) TL_BY_ELEMENT(tl_sort_line, src)(dst, src, __VA_ARGS__)
#define tl_argsort_line(dst, index, src, ...) TL_BY_ELEMENT(tl_argsort_line, src)(dst, index, src, __VA_ARGS__)
#define tl_top_line(index, src, ...) TL_BY_ELEMENT(tl_top_line, src)(index, src, __VA_ARGS__)
#define tl_place_in(sorted, ...) TL_BY_ELEMENT(tl_place_in, sorted)(sorted, __VA_ARGS__)
#endif
