/* Steps of gated recurrent cells, row by row, for float (_f32) and double (_f64); see cells_template.h. */
#ifndef TLEAN_CELLS_H
#define TLEAN_CELLS_H
#include <stddef.h>
#include <stdint.h>
#include "kernel.h"
#include "simd/by_type.h"
#include "simd/lanes_f64.h"
#include "simd/vmath.h"

/* Columns that are worked on together: what is not asked for has room on the stack. */
#define TL_CELL_STRIP 128

/* out = f(x + s), with the loops that the elementwise kernels have. */
static void tl_sigmoid_sum_f32(float *TL_RESTRICT out, const float *TL_RESTRICT x, const float *TL_RESTRICT s, int64_t n) {
    for (int64_t j = 0; j < n; j++) out[j] = tl_sigmoidf(x[j] + s[j]);
}

static void tl_tanh_sum_f32(float *TL_RESTRICT out, const float *TL_RESTRICT x, const float *TL_RESTRICT s, int64_t n) {
    for (int64_t j = 0; j < n; j++) out[j] = tl_tanhf(x[j] + s[j]);
}

static void tl_tanh_row_f32(float *TL_RESTRICT out, const float *TL_RESTRICT x, int64_t n) {
    for (int64_t j = 0; j < n; j++) out[j] = tl_tanhf(x[j]);
}

static void tl_sum_f64(double *TL_RESTRICT out, const double *TL_RESTRICT x, const double *TL_RESTRICT s, int64_t n) {
    for (int64_t j = 0; j < n; j++) out[j] = x[j] + s[j];
}

static void tl_sigmoid_sum_f64(double *out, const double *x, const double *s, int64_t n) {
    tl_sum_f64(out, x, s, n);
    tl_each_sigmoid(out, out, n, 0);
}

static void tl_tanh_sum_f64(double *out, const double *x, const double *s, int64_t n) {
    tl_sum_f64(out, x, s, n);
    tl_each_tanh(out, out, n, 0);
}

static void tl_tanh_row_f64(double *out, const double *x, int64_t n) { tl_each_tanh(out, x, n, 0); }

#define T float
#define NAME(x) x##_f32
#include "kernels/recurrent/cells_template.h"
#undef T
#undef NAME

#define T double
#define NAME(x) x##_f64
#include "kernels/recurrent/cells_template.h"
#undef T
#undef NAME

#define tl_lstm_rows(h, ...) TL_CALL(tl_lstm_rows, h, __VA_ARGS__)
#define tl_lstm_back(dz, ...) TL_CALL(tl_lstm_back, dz, __VA_ARGS__)
#define tl_gru_rows(h, ...) TL_CALL(tl_gru_rows, h, __VA_ARGS__)
#define tl_gru_back(dx, ...) TL_CALL(tl_gru_back, dx, __VA_ARGS__)
#endif
