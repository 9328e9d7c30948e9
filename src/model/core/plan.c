/* Which kernels a CPU can run, and which plan a model gets. */
#include "model/core/plan.h"

enum model_isa model_isa_detect(void)
{
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
        return MODEL_ISA_AVX512;
    }
    return __builtin_cpu_supports("avx2") ? MODEL_ISA_AVX2 : MODEL_ISA_PORTABLE;
}

static uint64_t scan(const double *const *columns, uint32_t column_count, uint32_t rows,
                     uint64_t *nan_rows)
{
    uint64_t any = 0;
    memset(nan_rows, 0, (rows + 63) / 64 * sizeof *nan_rows);
    for (uint32_t i = 0; i < column_count; i++) {
        for (uint32_t r = 0; r < rows; r++) {
            uint64_t bit = isnan(columns[i][r]) ? UINT64_C(1) << (r % 64) : 0;
            nan_rows[r / 64] |= bit;
            any |= bit;
        }
    }
    return any;
}

model_scan *model_scan_for(enum model_isa isa)
{
    (void)isa;
    return scan;
}

enum weir_err model_plan_choose(struct weir_model *model)
{
    (void)model;
    return WEIR_OK;
}
