/* Which kernels a CPU can run, and which plan a model gets. */
#include "model/core/plan.h"

#include "model/core/kernels.h"

enum model_isa model_isa_detect(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
        return MODEL_ISA_AVX512;
    }
    if (__builtin_cpu_supports("avx2")) {
        return MODEL_ISA_AVX2;
    }
#endif
    return MODEL_ISA_PORTABLE;
}

model_scan *model_scan_for(enum model_isa isa)
{
    static model_scan *const scans[MODEL_ISA_COUNT] = KERNEL_VERSIONS(scan);
    return scans[isa];
}

uint32_t model_input_of_slot(const struct weir_model *model, uint32_t slot)
{
    for (uint32_t i = 0; i < model->input_count; i++) {
        if (model->inputs[i].slot == slot) {
            return i;
        }
    }
    return UINT32_MAX;
}

enum weir_err model_plan_choose(struct weir_model *model)
{
    const struct model_plan *plan = NULL;
    if (model->root->is_float) {
        return WEIR_OK; /* plans calculate in double */
    }
    enum weir_err err = linear_plan_new(model, &plan);
    if (err == WEIR_OK && plan == NULL) {
        err = forest_plan_new(model, &plan);
    }
    if (err == WEIR_OK && plan == NULL) {
        err = dense_plan_new(model, &plan);
    }
    model->plan = plan;
    return err;
}
