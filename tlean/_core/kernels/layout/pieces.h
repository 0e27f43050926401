/* Short pieces of memory, moved without a call: what a step of a loop copies is mostly a few numbers. */
#ifndef TLEAN_PIECES_H
#define TLEAN_PIECES_H
#include <stdint.h>
#include <string.h>

/* `bytes` of both, in two words that may overlap. */
#define TL_TWO_WORDS(to, from, bytes, word) \
    { \
        word first, last; \
        memcpy(&first, from, sizeof(word)); \
        memcpy(&last, (from) + (bytes) - sizeof(word), sizeof(word)); \
        memcpy(to, &first, sizeof(word)); \
        memcpy((to) + (bytes) - sizeof(word), &last, sizeof(word)); \
    }

typedef struct { uint64_t words[2]; } tl_sixteen_bytes;

static inline void tl_move(char *to, const char *from, int64_t bytes) {
    if (bytes > 32 || bytes < 4) memcpy(to, from, bytes);
    else if (bytes > 16) TL_TWO_WORDS(to, from, bytes, tl_sixteen_bytes)
    else if (bytes >= 8) TL_TWO_WORDS(to, from, bytes, uint64_t)
    else TL_TWO_WORDS(to, from, bytes, uint32_t)
}

/* Pieces of one size, one behind the other from `to` on. */
static inline void tl_collect(char *to, void **from, int64_t count, int64_t bytes) {
    int64_t k;
    if (bytes >= 8 && bytes <= 16)
        for (k = 0; k < count; k++, to += bytes) TL_TWO_WORDS(to, (const char *)from[k], bytes, uint64_t)
    else
        for (k = 0; k < count; k++, to += bytes) tl_move(to, (const char *)from[k], bytes);
}

/* One piece so many times. */
static inline void tl_repeat(char *to, const char *from, int64_t times, int64_t bytes) {
    for (; times > 0; times--, to += bytes) {
        int64_t i = 0;
        if (bytes < 16) {
            tl_move(to, from, bytes);
            continue;
        }
        for (; i + 16 <= bytes; i += 16) memcpy(to + i, from + i, 16);
        if (i < bytes) memcpy(to + bytes - 16, from + bytes - 16, 16);
    }
}

/* What tl_collect did, undone. */
static inline void tl_deal(void **to, const char *from, int64_t count, int64_t bytes) {
    int64_t k;
    if (bytes >= 8 && bytes <= 16)
        for (k = 0; k < count; k++, from += bytes) TL_TWO_WORDS((char *)to[k], from, bytes, uint64_t)
    else
        for (k = 0; k < count; k++, from += bytes) tl_move((char *)to[k], from, bytes);
}
#endif
