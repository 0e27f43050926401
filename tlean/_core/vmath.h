#ifndef TLEAN_VMATH_H
#define TLEAN_VMATH_H
#include <math.h>
#include "kernel.h"
#define D1(n) TL_INLINE float tl_##n##f(float x) { return n##f(x); } TL_INLINE double tl_##n(double x) { return n(x); }
D1(exp) D1(log) D1(log1p) D1(expm1) D1(tanh) D1(erf) D1(sin) D1(cos)
TL_INLINE float tl_powf(float x, float c) { return powf(x, c); }
TL_INLINE double tl_pow(double x, double c) { return pow(x, c); }
TL_INLINE float tl_sqrtf(float x) { return sqrtf(x); }
TL_INLINE double tl_sqrt(double x) { return sqrt(x); }
TL_INLINE float tl_absf(float x) { return fabsf(x); }
TL_INLINE double tl_abs(double x) { return fabs(x); }
TL_INLINE float tl_maxf(float a, float b) { return a > b ? a : a == a ? b : a; }
TL_INLINE double tl_max(double a, double b) { return a > b ? a : a == a ? b : a; }
TL_INLINE float tl_minf(float a, float b) { return a < b ? a : a == a ? b : a; }
TL_INLINE double tl_min(double a, double b) { return a < b ? a : a == a ? b : a; }
TL_INLINE float tl_signf(float x) { return x > 0 ? 1.0f : x < 0 ? -1.0f : x == 0 ? 0.0f : x; }
TL_INLINE double tl_sign(double x) { return x > 0 ? 1.0 : x < 0 ? -1.0 : x == 0 ? 0.0 : x; }
TL_INLINE float tl_sigmoidf(float x) { float e = tl_expf(-fabsf(x)); return (x < 0 ? e : 1.0f) / (1.0f + e); }
TL_INLINE double tl_sigmoid(double x) { double e = tl_exp(-fabs(x)); return (x < 0 ? e : 1.0) / (1.0 + e); }
#endif
