/* The kernels for CPUs with AVX-512 F, BW, DQ and VL. */
#if defined(__x86_64__)
#ifdef __clang__ /* takes the width from the vector types alone */
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))
#else
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")))
#endif
#define NAME(kernel) NAME2(kernel)
#define NAME2(kernel) kernel##_avx512
#define VECTOR_BYTES 64
#include "model/core/kernels_body.h"
#else
typedef int no_avx512; /* a translation unit must not be empty */
#endif
