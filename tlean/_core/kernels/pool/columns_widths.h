/* Included by kernels/pool/columns.h once per element type T: its functions for vectors of every width that the instruction set has. TI is
 * the integer as wide, TYPED(x, bits) the name of a function, REGISTER(bits) a vector register, MAX(prefix) the instruction, N_bits how
 * many elements fill a vector. */
#if defined(__AVX512F__)
#define N N_512
#define NAME(x) TYPED(x, 512)
#define TL_MAX_OF(v, m) (NAME(cells))MAX(_mm512)((REGISTER(512))(v), (REGISTER(512))(m))
#include "kernels/pool/columns_template.h"
#endif
#if defined(__AVX2__)
#define N N_256
#define NAME(x) TYPED(x, 256)
#define TL_MAX_OF(v, m) (NAME(cells))MAX(_mm256)((REGISTER(256))(v), (REGISTER(256))(m))
#include "kernels/pool/columns_template.h"
#endif
#define N N_128
#define NAME(x) TYPED(x, 128)
#if defined(__SSE2__)
#define TL_MAX_OF(v, m) (NAME(cells))MAX(_mm)((REGISTER(128))(v), (REGISTER(128))(m))
#else
#define TL_MAX_OF TL_GREATER
#endif
#include "kernels/pool/columns_template.h"
#undef T
#undef TI
#undef TYPED
#undef REGISTER
#undef MAX
#undef N_512
#undef N_256
#undef N_128
