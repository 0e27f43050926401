/* A register machine for chains of arithmetic on arrays: values pass from one op to the next in registers.
 *
 * A strip is as many elements as eight vectors hold. A step works on one strip: it takes the eight vectors as arguments, computes one
 * formula on them and on operands in memory, and ends by calling the next step, which the compiler makes a jump. So a chain is a list of
 * steps, and a value that only the next step reads is never stored. Steps exist for every formula without functions
 * (tools/codegen/chain_steps.py): one for each input that may be in the registers and one for none, each storing its result or not, since
 * a jump costs as much as eight operations. `spread` makes a strip of a number, `column` one of the numbers of
 * a column, `bytes` one of Booleans; `truth` stores Booleans and leaves the registers; `stop` ends the list.
 *
 * The arithmetic is that of the loops in elementwise_kernels.h, operation for operation, so the bits are the same.
 */
#ifndef TLEAN_CHAIN_MACHINE_H
#define TLEAN_CHAIN_MACHINE_H
#include "kernel.h"
#include "plan/stretch.h"
#include "simd/bytes.h"
#include "simd/width.h"

enum { TL_STRIP_BYTES = 8 * TL_VECTOR_BYTES };

typedef float tl_anywhere_f32 __attribute__((vector_size(TL_VECTOR_BYTES), aligned(4), may_alias));
typedef double tl_anywhere_f64 __attribute__((vector_size(TL_VECTOR_BYTES), aligned(8), may_alias));
typedef int32_t tl_masks_f32 __attribute__((vector_size(TL_VECTOR_BYTES)));
typedef int64_t tl_masks_f64 __attribute__((vector_size(TL_VECTOR_BYTES)));

/* A broadcast: x − 0 is x for every x. */
#define tl_splat_f32(x) ((float)(x) - (tl_lanes_f32){0})
#define tl_splat_f64(x) ((double)(x) - (tl_lanes_f64){0})
TL_INLINE tl_lanes_f32 tl_pick_f32(tl_masks_f32 m, tl_lanes_f32 a, tl_lanes_f32 b) {
    return (tl_lanes_f32)((m & (tl_masks_f32)a) | (~m & (tl_masks_f32)b));
}
TL_INLINE tl_lanes_f64 tl_pick_f64(tl_masks_f64 m, tl_lanes_f64 a, tl_lanes_f64 b) {
    return (tl_lanes_f64)((m & (tl_masks_f64)a) | (~m & (tl_masks_f64)b));
}
#define tl_at_f32(p, k) (*(const tl_anywhere_f32 *)((p) + (k) * TL_VECTOR_BYTES))
#define tl_at_f64(p, k) (*(const tl_anywhere_f64 *)((p) + (k) * TL_VECTOR_BYTES))

/* A step with its operands: where those in memory are for the first strip, and its numbers. A column goes on from strip to strip: the number
 * that fills the next one, and the elements that are left of its run. */
typedef struct tl_code {
    void *step;
    char *at[4];
    const double *floats;
    const char *number;
    int64_t rest;
    int64_t along; /* bytes from a run's number to the next one's; -1 where several axes say so */
} tl_code;
typedef struct { const char *name; void *step; } tl_named_step;

/* i: bytes from the first strip to this one. */
#define TL_REGISTERS(t) t r0, t r1, t r2, t r3, t r4, t r5, t r6, t r7
#define TL_STEP_OF(name, x) void tl_##name##_##x(const tl_code *code, int64_t i, TL_REGISTERS(tl_lanes_##x))
#define TL_STEP(name, x) static TL_STEP_OF(name, x)
#define TL_NEXT(x) ((tl_step_##x)code[1].step)(code + 1, i, r0, r1, r2, r3, r4, r5, r6, r7);
typedef void (*tl_step_f32)(const tl_code *, int64_t, TL_REGISTERS(tl_lanes_f32));
typedef void (*tl_step_f64)(const tl_code *, int64_t, TL_REGISTERS(tl_lanes_f64));

#define TL_PUT(x, to) { \
    tl_anywhere_##x *p = (tl_anywhere_##x *)(to); \
    p[0] = r0, p[1] = r1, p[2] = r2, p[3] = r3, p[4] = r4, p[5] = r5, p[6] = r6, p[7] = r7; \
}
#define TL_GET(x, from) { \
    const char *p = (from); \
    r0 = tl_at_##x(p, 0), r1 = tl_at_##x(p, 1), r2 = tl_at_##x(p, 2), r3 = tl_at_##x(p, 3); \
    r4 = tl_at_##x(p, 4), r5 = tl_at_##x(p, 5), r6 = tl_at_##x(p, 6), r7 = tl_at_##x(p, 7); \
}
/* A byte for each lane. */
#define TL_GET_BYTES(x, from) { \
    const uint8_t *p = (const uint8_t *)(from); \
    r0 = tl_from_bytes_##x(p), r1 = tl_from_bytes_##x(p + TL_LANES_##x), r2 = tl_from_bytes_##x(p + 2 * TL_LANES_##x); \
    r3 = tl_from_bytes_##x(p + 3 * TL_LANES_##x), r4 = tl_from_bytes_##x(p + 4 * TL_LANES_##x); \
    r5 = tl_from_bytes_##x(p + 5 * TL_LANES_##x), r6 = tl_from_bytes_##x(p + 6 * TL_LANES_##x); \
    r7 = tl_from_bytes_##x(p + 7 * TL_LANES_##x); \
}
#define TL_PUT_BYTES(x, to) { \
    uint8_t *p = (uint8_t *)(to); \
    tl_to_bytes_##x(p, r0), tl_to_bytes_##x(p + TL_LANES_##x, r1), tl_to_bytes_##x(p + 2 * TL_LANES_##x, r2); \
    tl_to_bytes_##x(p + 3 * TL_LANES_##x, r3), tl_to_bytes_##x(p + 4 * TL_LANES_##x, r4); \
    tl_to_bytes_##x(p + 5 * TL_LANES_##x, r5), tl_to_bytes_##x(p + 6 * TL_LANES_##x, r6); \
    tl_to_bytes_##x(p + 7 * TL_LANES_##x, r7); \
}
/* A strip with the end of a run and the start of the next one. */
#define TL_COLUMN(x, real, STORE) \
    tl_code *column = (tl_code *)code; \
    const int64_t strip = TL_STRIP_BYTES / sizeof(real), rest = column->rest; \
    real both[TL_STRIP_BYTES / sizeof(real)]; \
    const char *at = (const char *)both; \
    const real value = *(const real *)column->number; \
    tl_next_run_##x(column, i); \
    column->rest -= strip; \
    const real next = *(const real *)column->number; \
    for (int64_t j = 0; j < strip; j++) both[j] = j < rest ? value : next; \
    TL_GET(x, at) \
    STORE \
    TL_NEXT(x)
/* Most strips lie in one run: a step that needs no room for two of them. */
#define TL_ONE_RUN(x, real, STORE, end) \
    tl_code *column = (tl_code *)code; \
    const int64_t strip = TL_STRIP_BYTES / sizeof(real), rest = column->rest; \
    if (rest < strip) { \
        end(code, i, r0, r1, r2, r3, r4, r5, r6, r7); \
        return; \
    } \
    r0 = r1 = r2 = r3 = r4 = r5 = r6 = r7 = tl_splat_##x(*(const real *)column->number); \
    if (rest == strip) tl_next_run_##x(column, i); \
    column->rest -= strip; \
    STORE \
    TL_NEXT(x)
#define TL_ENDS(x, real) \
    TL_STEP(spread, x) { \
        r0 = r1 = r2 = r3 = r4 = r5 = r6 = r7 = tl_splat_##x(*(const real *)code->at[0]); \
        TL_NEXT(x) \
    } \
    TL_STEP(spread_s, x) { \
        r0 = r1 = r2 = r3 = r4 = r5 = r6 = r7 = tl_splat_##x(*(const real *)code->at[0]); \
        TL_PUT(x, code->at[1] + i) \
        TL_NEXT(x) \
    } \
    /* Runs of one value, of a strip or more each: at[0] are the axes of the input at[1] (stretch.h), at[2] is the element where the list \
     * starts. */ \
    TL_INLINE void tl_next_run_##x(tl_code *column, int64_t i) { \
        const int64_t *axes = (const int64_t *)column->at[0], first = (int64_t)column->at[2] + i / (int64_t)sizeof(real) + column->rest; \
        column->number = column->along < 0 ? column->at[1] + tl_stretched_at(axes, first) * (int64_t)sizeof(real) : column->number + column->along; \
        column->rest += axes[axes[0]]; \
    } \
    static __attribute__((noinline)) TL_STEP_OF(column_end, x) { TL_COLUMN(x, real, ) } \
    static __attribute__((noinline)) TL_STEP_OF(column_end_s, x) { TL_COLUMN(x, real, TL_PUT(x, code->at[3] + i)) } \
    TL_STEP(column, x) { TL_ONE_RUN(x, real, , tl_column_end_##x) } \
    TL_STEP(column_s, x) { TL_ONE_RUN(x, real, TL_PUT(x, code->at[3] + i), tl_column_end_s_##x) } \
    TL_STEP(bytes, x) { TL_GET_BYTES(x, code->at[0] + i / (int64_t)sizeof(real)) TL_NEXT(x) } \
    TL_STEP(bytes_s, x) { TL_GET_BYTES(x, code->at[0] + i / (int64_t)sizeof(real)) TL_PUT(x, code->at[1] + i) TL_NEXT(x) } \
    TL_STEP(truth_0, x) { TL_PUT_BYTES(x, code->at[0] + i / (int64_t)sizeof(real)) TL_NEXT(x) } \
    TL_STEP(truth_m, x) { TL_GET(x, code->at[0] + i) TL_PUT_BYTES(x, code->at[1] + i / (int64_t)sizeof(real)) TL_NEXT(x) } \
    TL_STEP(stop, x) {} \
    /* A list of steps over the first `bytes` of every operand, a whole number of strips. */ \
    static void tl_run_##x(const tl_code *code, int64_t bytes) { \
        const tl_lanes_##x zero = {0}; \
        for (int64_t i = 0; i < bytes; i += TL_STRIP_BYTES) \
            ((tl_step_##x)code->step)(code, i, zero, zero, zero, zero, zero, zero, zero, zero); \
    }
TL_ENDS(f32, float)
TL_ENDS(f64, double)

#include "strip_steps.h"
enum { TL_STEPS = sizeof(tl_steps) / sizeof(tl_steps[0]) };
#endif
