/* Register-blocked inner loops of convolution, for float and double.
 *
 * conv_block: outputs of OB channels x NV vectors of positions, in registers over the whole reduction:
 *     out[i, opos[v] + l] = bias[i] + sum_k w[woff[k] + i ws] * x[xoff[k] + pos[v] + l],   i < OB, v < NV, l < lanes.
 * A term k is a pair (channel, kernel cell), so two lists of offsets describe every rank, stride, dilation and direction, and neither
 * operand is rearranged: x is read where it lies, w is broadcast from where it lies.
 *
 * dw_block: OB x KB dot products over positions, the lanes being positions of the output plane:
 *     part[j, i] += sum_s sum_p g[gslice[s] + i gs + p] * x[xslice[s] + xoff[j] + p],   i < OB, j < KB.
 *
 * OB, NV, KB are bounded so that accumulators and operands fit the registers: 32 of AVX-512, 16 of the other sets.
 */
#ifndef TL_CONV_MICRO_H
#define TL_CONV_MICRO_H
#include <stddef.h>
#include <stdint.h>
#include "kernel.h"

#if defined(__AVX512F__)
#define CONV_VECTOR_BYTES 64
#elif defined(__AVX__)
#define CONV_VECTOR_BYTES 32
#else
#define CONV_VECTOR_BYTES 16
#endif

/* Output channels that one block of partial weight gradients holds, whatever the instruction set. */
#define CONV_PART 8

#if defined(__AVX512F__) || defined(__aarch64__)
#define CONV_OB_MAX 8
static const int conv_nv_max[9] = {0, 8, 8, 6, 5, 4, 4, 3, 3};
static const int conv_kb_max[9] = {0, 9, 9, 6, 6, 4, 4, 3, 3};
#else
#define CONV_OB_MAX 6
static const int conv_nv_max[9] = {0, 8, 4, 3, 2, 2, 2, 0, 0};
static const int conv_kb_max[9] = {0, 9, 4, 3, 3, 2, 2, 0, 0};
#endif

#define REAL float
#define NAME(x) x##_f32
#include "conv_micro_template.h"
#undef REAL
#undef NAME
#define REAL double
#define NAME(x) x##_f64
#include "conv_micro_template.h"
#undef REAL
#undef NAME

#endif
