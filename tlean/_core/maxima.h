/* The inner loops of maxima: NaN wins, and of equal elements the first.
 *
 * Values never depend on whether an index is asked for.
 */
#ifndef TLEAN_MAXIMA_H
#define TLEAN_MAXIMA_H
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "moves.h"

#define TL_T float
#define TL_INT int32_t
#define TL_LANES TL_TILE4
#define TL_NAME(name) name##_f32
#include "maxima_template.h"

#define TL_T double
#define TL_INT int64_t
#define TL_LANES TL_TILE8
#define TL_NAME(name) name##_f64
#include "maxima_template.h"
#endif
