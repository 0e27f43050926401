/* The inner loops of maxima: NaN wins, and of equal elements the first.
 */
#ifndef TLEAN_MAXIMA_H
#define TLEAN_MAXIMA_H
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "simd/by_type.h"
#include "simd/moves.h"

#define TL_LANE(e, w, n) (e)
#define TL_PARTNER(e, w, n) ((e) ^ ((w) % (n)))
/* Every lane gets what its partner, lane e ^ w, has. */
#define TL_HALVED(type, v, w) ((type)TL_PERMUTE(IVEC, TL_LANES, (IVEC)(v), (IVEC)(v), TL_PARTNER, w))

#define TL_T float
#define TL_INT int32_t
#define TL_LANES TL_LANES_f32
#define TL_NAME(name) name##_f32
#include "kernels/reduce/maxima_template.h"

#define TL_T double
#define TL_INT int64_t
#define TL_LANES TL_LANES_f64
#define TL_NAME(name) name##_f64
#include "kernels/reduce/maxima_template.h"
#define tl_row_maxima(top, ...) TL_CALL(tl_row_maxima, top, __VA_ARGS__)
#define tl_panel_max(top, ...) TL_CALL(tl_panel_max, top, __VA_ARGS__)
#endif
