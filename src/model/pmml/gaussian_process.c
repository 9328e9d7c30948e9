/* GaussianProcessModel: the equations of its training instances are solved once, at load. */
#include "model/pmml/reader.h"

enum { INSTANCES_MAX = 2000 }; /* a second's work */

static void read_lambdas(struct pmml_reader *r, const struct pmml_element *kernel,
                         struct model_gaussian_process *m)
{
    double *lambdas = model_alloc(&r->b, m->input_count, sizeof *lambdas);
    const struct pmml_element *given = pmml_child(kernel, "Lambda");
    double all = pmml_number(r, kernel, "lambda", 1);
    if (lambdas == NULL) {
        return;
    }
    for (uint32_t i = 0; i < m->input_count; i++) {
        lambdas[i] = m->covariance == MODEL_COVARIANCE_RADIAL_BASIS ? all : 1;
    }
    if (given != NULL && given->next != NULL && pmml_is(given->next, "Lambda")) {
        pmml_unsupported(r, given->next);
    } else if (given != NULL && pmml_ok(r, given)) {
        pmml_read_numbers(r, given, m->input_count, lambdas);
    }
    for (uint32_t i = 0; r->err == WEIR_OK && i < m->input_count; i++) {
        if (!(lambdas[i] > 0)) {
            pmml_fail(r, kernel, WEIR_INVALID, "has a lambda that is not above 0");
        }
    }
    m->lambdas = lambdas;
}

/* The kernel; its noiseVariance. */
static double read_kernel(struct pmml_reader *r, const struct pmml_element *e,
                          struct model_gaussian_process *m)
{
    /* In the order of enum model_covariance. */
    static const char *const names[] = {"RadialBasisKernel", "ARDSquaredExponentialKernel",
                                        "AbsoluteExponentialKernel",
                                        "GeneralizedExponentialKernel"};
    const struct pmml_element *kernel = NULL;
    for (uint32_t i = 0; i < sizeof names / sizeof names[0] && kernel == NULL; i++) {
        kernel = pmml_child(e, names[i]);
        m->covariance = (enum model_covariance)i;
    }
    if (kernel == NULL) {
        pmml_fail(r, e, WEIR_INVALID, "needs a kernel");
        return 0;
    }
    m->gamma = pmml_number(r, kernel, "gamma", 1);
    m->degree = pmml_number(r, kernel, "degree", 1);
    read_lambdas(r, kernel, m);
    return pmml_number(r, kernel, "noiseVariance", 1);
}

/* Inputs are the InstanceFields but the target, in their order. */
static void read_instances(struct pmml_reader *r, const struct pmml_element *e,
                           const struct pmml_training *t, struct model_gaussian_process *m)
{
    uint32_t count = t->fields->child_count;
    uint32_t *slots = model_alloc(&r->b, count, sizeof *slots);
    double *instances = model_alloc(&r->b, (size_t)count * t->count, sizeof *instances);
    for (const struct pmml_element *f = t->fields->first; f != NULL && pmml_ok(r, f); f = f->next) {
        const char *name = pmml_required(r, f, "field");
        if (strcmp(name, r->target->name) != 0) {
            slots[m->input_count++] = pmml_slot(r, f, name);
        }
    }
    for (uint32_t i = 0; i < m->input_count && r->err == WEIR_OK; i++) {
        const struct model_slot *slot = pmml_slot_info(r, slots[i]);
        if (slot->type == MODEL_STRING) {
            pmml_fail(r, t->fields, WEIR_INVALID, "names \"%.60s\", a field of strings",
                      slot->name);
        } else {
            pmml_read_training(r, t, pmml_instance_column(e, slot->name), slot->type, instances + i,
                               m->input_count);
        }
    }
    m->slots = slots;
    m->instances = instances;
    m->instance_count = t->count;
}

/* Cholesky's factors of a symmetric matrix, in place of its lower half. False: it has none. */
static bool factor(double *matrix, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j <= i; j++) {
            double sum = matrix[i * n + j];
            for (size_t k = 0; k < j; k++) {
                sum -= matrix[i * n + k] * matrix[j * n + k];
            }
            if (i == j && !(sum > 0)) {
                return false;
            }
            matrix[i * n + j] = i == j ? sqrt(sum) : sum / matrix[j * n + j];
        }
    }
    return true;
}

/* Solves L L' x = y in place of y. */
static void solve(const double *lower, size_t n, double *y)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < i; k++) {
            y[i] -= lower[i * n + k] * y[k];
        }
        y[i] /= lower[i * n + i];
    }
    for (size_t i = n; i-- > 0;) {
        for (size_t k = i + 1; k < n; k++) {
            y[i] -= lower[k * n + i] * y[k];
        }
        y[i] /= lower[i * n + i];
    }
}

static void solve_instances(struct pmml_reader *r, const struct pmml_element *e,
                            const struct pmml_training *t, double noise,
                            struct model_gaussian_process *m)
{
    size_t n = m->instance_count;
    double *matrix = model_alloc(&r->b, n * n, sizeof *matrix);
    double *y = model_alloc(&r->b, n, sizeof *y);
    const char *column = pmml_instance_column(e, r->target->name);
    if (column == NULL) {
        pmml_fail(r, e, WEIR_INVALID, "has no column for its target");
    } else if (pmml_ok(r, e)) {
        pmml_read_training(r, t, column, MODEL_DOUBLE, y, 1);
    }
    for (size_t i = 0; i < n && r->err == WEIR_OK; i++) {
        if (model_is_missing(y[i])) {
            pmml_fail(r, t->table, WEIR_INVALID, "has an instance without a target");
        }
        for (size_t j = 0; j <= i; j++) {
            matrix[i * n + j] = model_covariance_of(m, m->instances + i * m->input_count,
                                                    m->instances + j * m->input_count);
        }
        matrix[i * n + i] += noise;
    }
    if (r->err == WEIR_OK && !factor(matrix, n)) {
        pmml_fail(r, t->table, WEIR_INVALID,
                  "has instances that can't be told apart, or an empty cell");
    } else if (r->err == WEIR_OK) {
        solve(matrix, n, y);
        m->coefficients = y;
    }
}

struct model_element *pmml_read_gaussian_process(struct pmml_reader *r,
                                                 const struct pmml_element *e)
{
    struct model_gaussian_process *m = model_alloc(&r->b, 1, sizeof *m);
    struct pmml_training training = pmml_find_training(r, e);
    if (r->target->classes != NULL) {
        pmml_fail(r, e, WEIR_UNSUPPORTED, "classifies, which is not supported yet");
    } else if (training.count > INSTANCES_MAX) {
        pmml_fail(r, e, WEIR_LIMIT, "has more than %d instances", INSTANCES_MAX);
    }
    if (!pmml_ok(r, e)) {
        return NULL;
    }
    pmml_read_base(r, e, &model_gaussian_process_ops, &m->element);
    read_instances(r, e, &training, m);
    double noise = r->err == WEIR_OK ? read_kernel(r, e, m) : 0;
    if (r->err == WEIR_OK) {
        solve_instances(r, e, &training, noise, m);
    }
    m->element.work = model_builder_work(&r->b, m->input_count);
    return &m->element;
}
