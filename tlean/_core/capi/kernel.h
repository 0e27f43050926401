/* The signature of a kernel and what it returns, for modules that include no more than this. */
#include "../kernel.h"
