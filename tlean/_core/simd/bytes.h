/* Booleans, a byte each, as lanes of numbers and back: 1 and 0; what is not 0 is true, NaN too. */
#ifndef TLEAN_BYTES_H
#define TLEAN_BYTES_H
#include <stdint.h>
#include <string.h>
#include "simd/width.h"
#if defined(__AVX2__)
#include <immintrin.h>
#endif

typedef float tl_lanes_f32 __attribute__((vector_size(TL_VECTOR_BYTES)));
typedef double tl_lanes_f64 __attribute__((vector_size(TL_VECTOR_BYTES)));

#if defined(__AVX512F__)
static inline tl_lanes_f32 tl_from_bytes_f32(const uint8_t *p) {
    return (tl_lanes_f32)_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p)));
}
static inline tl_lanes_f64 tl_from_bytes_f64(const uint8_t *p) {
    return (tl_lanes_f64)_mm512_cvtepi32_pd(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}
static inline void tl_to_bytes_f32(uint8_t *p, tl_lanes_f32 x) {
    const __mmask16 m = _mm512_cmp_ps_mask((__m512)x, _mm512_setzero_ps(), _CMP_NEQ_UQ);
    _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(_mm512_maskz_set1_epi32(m, 1)));
}
static inline void tl_to_bytes_f64(uint8_t *p, tl_lanes_f64 x) {
    const __mmask8 m = _mm512_cmp_pd_mask((__m512d)x, _mm512_setzero_pd(), _CMP_NEQ_UQ);
    _mm_storel_epi64((__m128i *)p, _mm512_cvtepi64_epi8(_mm512_maskz_set1_epi64(m, 1)));
}
#elif defined(__AVX2__)
static inline tl_lanes_f32 tl_from_bytes_f32(const uint8_t *p) {
    return (tl_lanes_f32)_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}
static inline tl_lanes_f64 tl_from_bytes_f64(const uint8_t *p) {
    int32_t four;
    memcpy(&four, p, 4);
    return (tl_lanes_f64)_mm256_cvtepi32_pd(_mm_cvtepu8_epi32(_mm_cvtsi32_si128(four)));
}
static inline __m128i tl_one_of_each(__m128i words) {
    return _mm_and_si128(_mm_packs_epi16(words, words), _mm_set1_epi8(1));
}
static inline void tl_to_bytes_f32(uint8_t *p, tl_lanes_f32 x) {
    const __m256i m = _mm256_castps_si256(_mm256_cmp_ps((__m256)x, _mm256_setzero_ps(), _CMP_NEQ_UQ));
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(m), _mm256_extracti128_si256(m, 1));
    _mm_storel_epi64((__m128i *)p, tl_one_of_each(words));
}
static inline void tl_to_bytes_f64(uint8_t *p, tl_lanes_f64 x) {
    const __m256d m = _mm256_cmp_pd((__m256d)x, _mm256_setzero_pd(), _CMP_NEQ_UQ);
    const __m128 low = _mm_castpd_ps(_mm256_castpd256_pd128(m)), high = _mm_castpd_ps(_mm256_extractf128_pd(m, 1));
    const __m128i four = _mm_castps_si128(_mm_shuffle_ps(low, high, 0x88)), words = _mm_packs_epi32(four, four);
    const int32_t bytes = _mm_cvtsi128_si32(tl_one_of_each(words));
    memcpy(p, &bytes, 4);
}
#else
static inline tl_lanes_f32 tl_from_bytes_f32(const uint8_t *p) {
    tl_lanes_f32 x;
    for (int k = 0; k < TL_LANES_f32; k++) x[k] = p[k];
    return x;
}
static inline tl_lanes_f64 tl_from_bytes_f64(const uint8_t *p) {
    tl_lanes_f64 x;
    for (int k = 0; k < TL_LANES_f64; k++) x[k] = p[k];
    return x;
}
static inline void tl_to_bytes_f32(uint8_t *p, tl_lanes_f32 x) {
    for (int k = 0; k < TL_LANES_f32; k++) p[k] = x[k] != 0;
}
static inline void tl_to_bytes_f64(uint8_t *p, tl_lanes_f64 x) {
    for (int k = 0; k < TL_LANES_f64; k++) p[k] = x[k] != 0;
}
#endif
#endif
