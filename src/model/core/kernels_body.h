/*
 * All kernels of one instruction set. kernels_<isa>.c defines TARGET (the function attribute),
 * NAME(x) (x_<isa>) and VECTOR_BYTES, and includes this.
 */
#include "model/core/kernels.h"

/* Short loops over a few vectors have to be unrolled, or the vectors live in memory. Vectors go in
 * and out of inlined functions only: no ABI to break. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#pragma GCC diagnostic ignored "-Wpsabi"
#endif

#include "model/core/forest_kernel.h"

static inline double activate_one64(const struct dense_layer *layer, double z)
{
    return model_activate(layer->activation, layer->threshold, z);
}

static inline float activate_one32(const struct dense_layer *layer, float z)
{
    return layer->activation == MODEL_ACTIVATION_TANH
               ? tanhf(z)
               : (float)model_activate(layer->activation, layer->threshold, (double)z);
}

#define REAL double
#define UINT uint64_t
#define SUFFIX 64
#define EXP_TERMS 14
#define EXP_LOWEST (-746.0)
#define EXP_HIGHEST 710.0
#define EXP_SHIFTER 0x1.8p52
#define EXP_LOG2E 0x1.71547652b82fep0
#define EXP_LN2_HIGH 0x1.62e42fefa0000p-1
#define EXP_LN2_LOW 0x1.cf79abc9e3b3ap-40
#define EXP_BIAS UINT64_C(1023)
#define EXP_MANTISSA 52
#include "model/core/dense_kernel.h"

#define REAL float
#define UINT uint32_t
#define SUFFIX 32
#define EXP_TERMS 8
#define EXP_LOWEST (-104.0F)
#define EXP_HIGHEST 89.0F
#define EXP_SHIFTER 0x1.8p23F
#define EXP_LOG2E 0x1.715476p0F
#define EXP_LN2_HIGH 0x1.62e400p-1F
#define EXP_LN2_LOW 0x1.7f7d1cp-20F
#define EXP_BIAS UINT32_C(127)
#define EXP_MANTISSA 23
#include "model/core/dense_kernel.h"
