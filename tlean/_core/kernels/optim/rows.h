/* Optimiser steps over a run of elements, for float (_f32) and double (_f64); see kernels/optim/rows_template.h. */
#ifndef TLEAN_OPTIM_ROWS_H
#define TLEAN_OPTIM_ROWS_H
#include <math.h>
#include <stddef.h>
#include "kernel.h"

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

#endif
