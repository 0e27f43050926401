/* For the .pxd files of the core, which name it so. */
#include "../kernel.h"
