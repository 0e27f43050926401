/* Optimiser steps over a run of elements, for float (_f32) and double (_f64); see kernels/optim/rows_template.h. */
#ifndef TLEAN_OPTIM_ROWS_H
#define TLEAN_OPTIM_ROWS_H
#include <math.h>
#include <stddef.h>
#include "kernel.h"
#include "simd/by_type.h"

#define T float
#define SQRT sqrtf
#define NAME(x) x##_f32
#include "kernels/optim/rows_template.h"
#undef T
#undef SQRT
#undef NAME

#define T double
#define SQRT sqrt
#define NAME(x) x##_f64
#include "kernels/optim/rows_template.h"
#undef T
#undef SQRT
#undef NAME

#define tl_sgd(p) TL_OF(tl_sgd, p)
#define tl_momentum(p) TL_OF(tl_momentum, p)
#define tl_adam(p) TL_OF(tl_adam, p)
#define tl_amsgrad(p) TL_OF(tl_amsgrad, p)
#define tl_rmsprop(p) TL_OF(tl_rmsprop, p)
#define tl_rmsprop_momentum(p) TL_OF(tl_rmsprop_momentum, p)
#define tl_rmsprop_centred(p) TL_OF(tl_rmsprop_centred, p)
#define tl_rmsprop_centred_momentum(p) TL_OF(tl_rmsprop_centred_momentum, p)
#define tl_adagrad(p) TL_OF(tl_adagrad, p)
#define tl_adadelta(p) TL_OF(tl_adadelta, p)
#endif
