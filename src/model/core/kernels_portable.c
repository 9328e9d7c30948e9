/* The kernels for any CPU; on x86-64 vectors are SSE2's. */
#define TARGET
#define NAME(kernel) NAME2(kernel)
#define NAME2(kernel) kernel##_portable
#define VECTOR_BYTES 16
#include "model/core/kernels_body.h"
