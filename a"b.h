/* Written by tlean. */
#ifndef LAMBDA_H
#define LAMBDA_H
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

/* Scratch memory of a call; nothing is kept in it from call to call. Calls at the same time need one each. */
typedef struct {
    char unused;
} lambda_state;

/* Returns 0, 1 for an index out of range, 2 for a matrix that cannot be factored. Arrays lie in row-major order and do not overlap.
 *
 *   in0         argument 0, 3 float32
 *   out0        result, a number float32
 *   grad_in0    gradient of argument 0, 3 float32
 */
int lambda(const float *in0, float *out0, float *grad_in0, lambda_state *s);

/* The bytes of the structure. */
unsigned long lambda_size(void);

#ifdef __cplusplus
}
#endif
#endif
