/* The one calling convention of every CPU kernel.
 *
 *   out         the op's outputs, then its residuals. An output that is never read is NULL (fused gradients, residuals without backward).
 *   in          the op's inputs in order; NULL for an optional input that is absent.
 *   ints        the numbers of this instance (sizes, strides, flags), as the op's `kernel_params` rule gave them.
 *   floats      likewise, scalars (c of `scale`, eps of a norm).
 *   accumulate  1: add the complete result to out[0], which is in use. Asked only of kernels whose module lists them in ACCUMULATES.
 *
 * Returns TL_OK, or another of the statuses below. A kernel never allocates with the Python heap, never touches the GIL, and writes each
 * output element with bits that depend on (inputs, ints, floats) alone: not on the thread count, the alignment or the place in a block.
 * Outputs are 64-byte aligned and never alias inputs, but for elementwise kernels, where out[0] may be in[k] exactly.
 *
 * A *producer* is a kernel with a second entry, listed in its module's PRODUCERS: it says when parts of out[0] are final, so that elementwise
 * ops on them (an epilogue) run while they are in a cache. It either calls tl_finished for ranges of flat indices that cover out[0] once
 * each, from whichever thread made them, or not at all; what it reported it neither reads nor writes again, nor does it use TL_SLOT_CHAIN
 * around the call.
 */
#ifndef TLEAN_KERNEL_H
#define TLEAN_KERNEL_H
#include <stdint.h>
typedef int (*tl_kernel)(void **out, void **in, const int64_t *ints, const double *floats, int accumulate);

typedef struct tl_finish {
    void (*run)(struct tl_finish *, int64_t first, int64_t last);
    int reported; /* whether anything was */
} tl_finish;
typedef int (*tl_producer)(void **out, void **in, const int64_t *ints, const double *floats, tl_finish *finish);
/* Statuses. A plan returns one together with the instruction's number: (instruction << TL_STATUS_BITS) | status. */
enum {
    TL_NOT_TAKEN = -1,         /* between functions of a family only: this algorithm does not pay, or must not be used for these numbers */
    TL_OK = 0,
    TL_INDEX_OUT_OF_RANGE = 1,
    TL_NO_MEMORY = 2,
    TL_RAISED = 3,             /* a Python function that the kernel called raised */
    TL_NOT_FINITE = 4,
    TL_INTERRUPTED = 5,        /* a signal's handler raised between two instructions of a plan */
    TL_SINGULAR = 6,           /* a matrix is singular: the result has NaN for it and is whole, so plans go on */
    TL_INDEFINITE = 7,         /* likewise, one is not positive definite */
    TL_STATUS_BITS = 8,
    TL_STATUS_MASK = (1 << TL_STATUS_BITS) - 1
};

/* Slots of a thread's scratch memory. A slot is valid until the same thread requests it again, so kernels that run inside one another use
 * different ones: a chain runs inside its producer or a band, and `reduce_sum` inside a chain. What is SHARED is read by all chunks of a job.
 */
enum {
    TL_SLOT_CHAIN = 6, TL_SLOT_CHAIN_SUMS = 7, TL_SLOT_BAND = 8,
    TL_SLOT_ROWS = 0,                                                   /* partial results of norms and losses */
    TL_SLOT_POOL_SLAB = 0, TL_SLOT_POOL_SPARE = 1,
    TL_SLOT_ATTENTION_CHUNK = 0, TL_SLOT_ATTENTION_PARTS = 1,           /* a chunk's own; dQ of every chunk */
    TL_SLOT_GEMM_A = 0, TL_SLOT_GEMM_B = 1,
    TL_SLOT_REDUCE_AXIS_A = 0, TL_SLOT_REDUCE_AXIS_B = 1,               /* results of one axis, written to A and B in turn */
    TL_SLOT_REDUCE_PASS_A = 2, TL_SLOT_REDUCE_PASS_B = 3,               /* likewise for passes along one axis */
    TL_SLOT_REDUCE_VALUES = 4,                                          /* maxima of which only the indices are returned */
    TL_SLOT_LINALG_A = 0, TL_SLOT_LINALG_B = 1, TL_SLOT_LINALG_PANEL = 2, /* panels of products, of LU; rows of lanes */
    TL_SLOT_LINALG_MATRIX = 3, TL_SLOT_LINALG_SIDES = 4, TL_SLOT_LINALG_FACTORS = 5, /* matrices, their right-hand sides; factors */
    TL_SLOT_FFT_LANES = 0, TL_SLOT_FFT_MATRIX = 1, TL_SLOT_FFT_LINE = 2, TL_SLOT_FFT_COPIES = 3, /* a chunk's; of one long line */
    TL_SLOT_ORDER = 0,                                                  /* the keys of a line, and as much room */
    TL_SLOT_CONV_SHARED = 0,                                            /* packed weights, the transformed source, partial results */
    TL_SLOT_CONV_SOURCE = 1, TL_SLOT_CONV_PRODUCTS = 2,                 /* a chunk's */
    TL_SLOT_CONV_TILE = 3,                                              /* rows and cells between memory and transform */
    TL_SLOT_CONV_REPAIR = 4, TL_SLOT_CONV_MARKS = 5,                    /* tiles computed by the definition, and which they are (shared) */
    TL_SLOT_CONV_SHARED_SOURCE = 4, TL_SLOT_CONV_SHARED_SUMS = 5,
    TL_SLOT_CONV_ENERGIES = 6, TL_SLOT_CONV_MAP = 7,                    /* of a job; a chunk's by position */
    TL_SLOT_CONV_PLANES_G = 6, TL_SLOT_CONV_PLANES_X = 7,               /* copies of blocked values in planes */
    TL_SLOT_GUEST_A = 9, TL_SLOT_GUEST_B = 10,                          /* of kernels of other projects (tlean.h): none of ours uses them */
    TL_SLOTS = 11
};
#if defined(__GNUC__)
#define TL_INLINE static inline __attribute__((always_inline))
#define TL_RESTRICT __restrict__
#else
#define TL_INLINE static inline
#define TL_RESTRICT
#endif
/* Before a loop whose elements do not depend on each other, whatever the compiler can prove of its pointers. */
#if defined(__clang__)
#define TL_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define TL_INDEPENDENT _Pragma("GCC ivdep")
#else
#define TL_INDEPENDENT
#endif

/* Elements first … last − 1 of out[0] are final. `finish` may be NULL: nothing waits for them. */
TL_INLINE void tl_finished(tl_finish *finish, int64_t first, int64_t last) {
    if (finish == 0 || first >= last) return;
#if defined(__GNUC__)
    __atomic_store_n(&finish->reported, 1, __ATOMIC_RELAXED);
#else
    finish->reported = 1;
#endif
    finish->run(finish, first, last);
}
#endif
