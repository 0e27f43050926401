/* Writing past the caches. A store to memory first reads the line that it changes, unless it is a streaming store of whole lines. Where an
 * op's arrays together fill the last-level cache, its output is not found there afterwards anyway, and what is bound by memory streams
 * (layer_norm: 0.7 to 0.85 of the time; relu, add: 0.8 to 0.95, by what else the memory has to do). Below, the next op reads what was
 * written from the cache, and nothing is streamed. Values are the same either way.
 */
#ifndef TLEAN_STREAMING_H
#define TLEAN_STREAMING_H
#include <stdint.h>
#include <string.h>
#include "threads/platform.h"
#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#endif

/* Bytes worked out in the first cache before they are streamed. */
enum { TL_STREAM_BLOCK = 4096 };

/* Whether an op that touches so many bytes streams its output. */
static int tl_streams(int64_t bytes) {
#if defined(__x86_64__) && defined(__GNUC__)
    static int64_t cache = 0;
    if (bytes < (int64_t)1 << 20) return 0;
    if (cache == 0) cache = tl_last_cache();
    /* Something else always is in the cache as well. */
    return bytes >= cache / 4 * 3;
#else
    return 0;
#endif
}

/* n bytes from a buffer to memory: whole lines past the caches, what is left at the ends as usual. */
static inline void tl_stream(void *dst, const void *src, int64_t n) {
    char *d = dst;
    const char *s = src;
    int64_t i = -(intptr_t)d & 63;
    if (i > n) i = n;
    memcpy(d, s, i);
#if defined(__AVX512F__)
    for (; i + 64 <= n; i += 64) _mm512_stream_si512((__m512i *)(d + i), _mm512_loadu_si512(s + i));
#elif defined(__AVX2__)
    for (; i + 64 <= n; i += 64) {
        _mm256_stream_si256((__m256i *)(d + i), _mm256_loadu_si256((const __m256i *)(s + i)));
        _mm256_stream_si256((__m256i *)(d + i + 32), _mm256_loadu_si256((const __m256i *)(s + i + 32)));
    }
#elif defined(__x86_64__) && defined(__GNUC__)
    for (; i + 64 <= n; i += 64)
        for (int64_t k = i; k < i + 64; k += 16) _mm_stream_si128((__m128i *)(d + k), _mm_loadu_si128((const __m128i *)(s + k)));
#endif
    memcpy(d + i, s + i, n - i);
}

/* Prefetches n bytes that will be read soon: what is worked out meanwhile hides their way from memory, which the processor's own guesses,
 * which restart on every page, do not. */
static inline void tl_fetch(const void *p, int64_t n) {
#if defined(__GNUC__)
    for (int64_t i = 0; i < n; i += 64) __builtin_prefetch((const char *)p + i);
#endif
}

/* Once a thread has streamed, before others may read. */
static inline void tl_stream_end(void) {
#if defined(__x86_64__) && defined(__GNUC__)
    _mm_sfence();
#endif
}
#endif
