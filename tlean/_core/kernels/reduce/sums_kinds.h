/* Every reduction of sums.h for one element type: TL_T, TL_INT and TL_LANES as sums_template.h has them, TL_KIND(name, kind) the names. */

#define TL_NUMBER(m, r) 0
#define TL_WIDENED(m, w, wide)

#define TL_WITH(a, b) ((a) + (b))
#define TL_NEUTRAL 0
#define TL_MAP(v, m) (v)
#define TL_NAME(name) TL_KIND(name, )
#define TL_IN_PARTS
#include "kernels/reduce/sums_template.h"
#undef TL_IN_PARTS
#undef TL_MAP

#define TL_MAP(v, m) ((v) * (v))
#define TL_NAME(name) TL_KIND(name, _squared)
#include "kernels/reduce/sums_template.h"
#undef TL_MAP
#undef TL_NUMBER
#undef TL_WIDENED

#define TL_MAP(v, m) (((v) - (m)) * ((v) - (m)))
#define TL_NUMBER(m, r) ((m)[r])
#define TL_WIDENED(m, w, wide) \
    TL_T numbers[2 * TL_NARROW]; \
    for (int64_t j = 0; j < wide; j++) numbers[j] = m[j % w]; \
    m = numbers;
#define TL_NAME(name) TL_KIND(name, _deviation)
#include "kernels/reduce/sums_template.h"
#undef TL_MAP
#undef TL_NUMBER
#undef TL_WIDENED
#undef TL_NEUTRAL
#undef TL_WITH

#define TL_NUMBER(m, r) 0
#define TL_WIDENED(m, w, wide)
#define TL_MAP(v, m) (v)
#define TL_WITH(a, b) ((a) * (b))
#define TL_NEUTRAL 1
#define TL_NAME(name) TL_KIND(name, _product)
#include "kernels/reduce/sums_template.h"
#undef TL_MAP
#undef TL_NUMBER
#undef TL_WIDENED
#undef TL_NEUTRAL
#undef TL_WITH
#undef TL_T
#undef TL_INT
#undef TL_LANES
#undef TL_KIND
