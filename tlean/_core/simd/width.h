/* The widest vectors of the instruction set that a module is compiled for, and how many floats and doubles they hold. */
#ifndef TLEAN_WIDTH_H
#define TLEAN_WIDTH_H
#if defined(__AVX512F__)
#define TL_VECTOR_BYTES 64
#define TL_LANES_f32 16
#define TL_LANES_f64 8
#elif defined(__AVX2__)
#define TL_VECTOR_BYTES 32
#define TL_LANES_f32 8
#define TL_LANES_f64 4
#else
#define TL_VECTOR_BYTES 16
#define TL_LANES_f32 4
#define TL_LANES_f64 2
#endif

#define TL_JOIN_(a, b) a##_##b
#define TL_JOIN(a, b) TL_JOIN_(a, b)
/* 0, 1, …: the number of each of n lanes. */
#define TL_ORDER(n) TL_JOIN(TL_ORDER, n)
#define TL_ORDER_2 0, 1
#define TL_ORDER_4 TL_ORDER_2, 2, 3
#define TL_ORDER_8 TL_ORDER_4, 4, 5, 6, 7
#define TL_ORDER_16 TL_ORDER_8, 8, 9, 10, 11, 12, 13, 14, 15
#endif
