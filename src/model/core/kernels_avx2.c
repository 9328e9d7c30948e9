/* The kernels for CPUs with AVX2. */
#if defined(__x86_64__)
#define TARGET __attribute__((target("avx2")))
#define NAME(kernel) NAME2(kernel)
#define NAME2(kernel) kernel##_avx2
#define VECTOR_BYTES 32
#include "model/core/kernels_body.h"
#else
typedef int no_avx2; /* a translation unit must not be empty */
#endif
