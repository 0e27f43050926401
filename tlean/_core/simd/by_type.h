/* One name for the two functions (or tables) of a name, name_f32 and name_f64: p, a pointer to float or double, chooses. */
#ifndef TLEAN_BY_TYPE_H
#define TLEAN_BY_TYPE_H
#define TL_OF(name, p) _Generic(*(p), float: name##_f32, double: name##_f64)
#define TL_CALL(name, p, ...) TL_OF(name, p)(p, __VA_ARGS__)
#endif
