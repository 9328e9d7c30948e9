/*
 * PMML documents: the table of model elements, and what all of them have: function, target,
 * classes, Targets, scope.
 */
#include "model/pmml/pmml.h"

#include <stdio.h>

#include "model/pmml/reader.h"

/* NULL: known to the standard, not supported yet. */
static const struct {
    const char *name;
    pmml_model_reader *read;
} models[] = {
    {"TreeModel", pmml_read_tree},
    {"MiningModel", pmml_read_mining},
    {"RegressionModel", pmml_read_regression},
    {"GeneralRegressionModel", pmml_read_general_regression},
    {"NeuralNetwork", pmml_read_neural},
    {"Scorecard", pmml_read_scorecard},
    {"RuleSetModel", pmml_read_rule_set},
    {"NaiveBayesModel", pmml_read_naive_bayes},
    {"ClusteringModel", pmml_read_clustering},
    {"SupportVectorMachineModel", pmml_read_support_vectors},
    {"NearestNeighborModel", pmml_read_neighbors},
    {"AnomalyDetectionModel", pmml_read_anomaly},
    {"AssociationModel", pmml_read_association},
    {"BaselineModel", pmml_read_baseline},
    {"BayesianNetworkModel", NULL},
    {"GaussianProcessModel", pmml_read_gaussian_process},
    {"SequenceModel", NULL},
    {"TextModel", NULL},
    {"TimeSeriesModel", NULL},
};

enum { MODEL_KINDS = sizeof models / sizeof models[0] };

static uint32_t kind_of(const struct pmml_element *element)
{
    uint32_t kind = 0;
    while (kind < MODEL_KINDS && !pmml_is(element, models[kind].name)) {
        kind++;
    }
    return kind;
}

bool pmml_is_model(const struct pmml_element *element)
{
    return kind_of(element) < MODEL_KINDS;
}

/* ---- classes --------------------------------------------------------------------------------- */

/* Labels seen so far, as a list that grows in the document's arena. */
struct labels {
    struct weir_slice *items;
    uint32_t count, capacity;
};

static void add_label(struct pmml_reader *r, const struct pmml_element *element,
                      struct labels *labels, const char *text)
{
    if (text == NULL) {
        return;
    }
    struct weir_slice label = pmml_slice(text);
    for (uint32_t i = 0; i < labels->count; i++) {
        if (weir_slice_equal(labels->items[i], label)) {
            return;
        }
    }
    if (labels->count == labels->capacity) {
        uint32_t capacity = labels->capacity * 2 + 16;
        struct weir_slice *items = pmml_scratch(r, capacity, sizeof *items);
        if (items == NULL) {
            return;
        }
        if (labels->count > 0) {
            memcpy(items, labels->items, labels->count * sizeof *items);
        }
        labels->items = items;
        labels->capacity = capacity;
    }
    if (labels->count == MODEL_CLASSES_MAX) {
        pmml_fail(r, element, WEIR_LIMIT, "has more than %d classes", MODEL_CLASSES_MAX);
        return;
    }
    labels->items[labels->count++] = label;
}

/* Attributes that name a class, wherever they stand below a classification model. A chain's
 * segments may predict something else: their own targets, not ours. */
static void collect_labels(struct pmml_reader *r, const struct pmml_element *element,
                           struct labels *labels)
{
    if (pmml_is(element, "Node") || pmml_is(element, "ScoreDistribution")) {
        bool is_node = pmml_is(element, "Node");
        add_label(r, element, labels, pmml_attribute(element, is_node ? "score" : "value"));
    } else if (pmml_is(element, "SimpleRule")) {
        add_label(r, element, labels, pmml_attribute(element, "score"));
    } else if (pmml_is(element, "RuleSet")) {
        add_label(r, element, labels, pmml_attribute(element, "defaultScore"));
    } else if (pmml_is(element, "RegressionTable") || pmml_is(element, "PCell")) {
        add_label(r, element, labels, pmml_attribute(element, "targetCategory"));
    } else if (pmml_is(element, "TargetValueCount")) {
        add_label(r, element, labels, pmml_attribute(element, "value"));
    } else if (pmml_is(element, "SupportVectorMachine")) {
        add_label(r, element, labels, pmml_attribute(element, "targetCategory"));
        add_label(r, element, labels, pmml_attribute(element, "alternateTargetCategory"));
    } else if (pmml_is(element, "GeneralRegressionModel")) {
        add_label(r, element, labels, pmml_attribute(element, "targetReferenceCategory"));
    } else if (pmml_is(element, "NeuralOutput")) {
        const struct pmml_element *field = pmml_child(element, "DerivedField");
        const struct pmml_element *norm = field != NULL ? pmml_child(field, "NormDiscrete") : NULL;
        add_label(r, element, labels, norm != NULL ? pmml_attribute(norm, "value") : NULL);
    }
    for (const struct pmml_element *e = element->first; e != NULL && r->err == WEIR_OK;
         e = e->next) {
        const char *function = pmml_is_model(e) ? pmml_attribute(e, "functionName") : NULL;
        if (function == NULL || strcmp(function, "classification") == 0) {
            collect_labels(r, e, labels);
        }
    }
}

/* Labels in the column of a target among training instances. */
static void collect_instances(struct pmml_reader *r, const struct pmml_element *model,
                              const char *target, struct labels *labels)
{
    const char *column = pmml_instance_column(model, target);
    const struct pmml_element *training = pmml_child(model, "TrainingInstances");
    const struct pmml_element *table = column != NULL ? pmml_child(training, "InlineTable") : NULL;
    for (const struct pmml_element *e = table != NULL ? table->first : NULL;
         e != NULL && r->err == WEIR_OK; e = e->next) {
        add_label(r, e, labels, pmml_cell_text(r, e, column).data);
    }
}

/* Classes that no Value declares come behind those that one does, in the order of the document. */
const struct model_classes *pmml_read_classes(struct pmml_reader *r,
                                              const struct pmml_element *element,
                                              const struct pmml_target *target)
{
    struct labels labels = {NULL, 0, 0};
    const struct pmml_field *field = pmml_find_field(r, target->name);
    if (field != NULL) {
        const struct weir_slice *declared;
        uint32_t count = pmml_declared_labels(r, field->element, &declared);
        for (uint32_t i = 0; i < count && r->err == WEIR_OK; i++) {
            add_label(r, field->element, &labels, declared[i].data);
        }
    }
    if (labels.count == 0 && pmml_is(element, "NearestNeighborModel")) {
        collect_instances(r, element, target->name, &labels);
    } else if (labels.count == 0) {
        collect_labels(r, element, &labels);
    }
    if (labels.count == 0) {
        pmml_fail(r, element, WEIR_INVALID, "is a classification without any class");
        return NULL;
    }
    return model_builder_classes(&r->b, target->type, labels.items, labels.count);
}

/* Ids of the clusters; one without has its place, from 1. */
static const struct model_classes *read_clusters(struct pmml_reader *r,
                                                 const struct pmml_element *element)
{
    struct labels labels = {NULL, 0, 0};
    uint32_t place = 0;
    for (const struct pmml_element *e = element->first; e != NULL && r->err == WEIR_OK;
         e = e->next) {
        if (!pmml_is(e, "Cluster")) {
            continue;
        }
        const char *id = pmml_attribute(e, "id");
        char *number = id == NULL ? pmml_scratch(r, 1, sizeof "4294967295") : NULL;
        place++;
        if (number != NULL) {
            snprintf(number, sizeof "4294967295", "%u", place);
        }
        add_label(r, e, &labels, id != NULL ? id : number);
        if (r->err == WEIR_OK && labels.count != place) {
            pmml_fail(r, e, WEIR_INVALID, "has the id of another");
        }
    }
    if (place == 0) {
        pmml_fail(r, element, WEIR_INVALID, "needs a Cluster");
        return NULL;
    }
    return model_builder_classes(&r->b, MODEL_STRING, labels.items, labels.count);
}

uint32_t pmml_class(struct pmml_reader *r, const struct pmml_element *element, const char *label)
{
    uint32_t index = UINT32_MAX;
    if (r->target->classes != NULL) {
        index = model_classes_find(&r->b, r->target->classes, r->target->type, pmml_slice(label));
    }
    if (index == UINT32_MAX) {
        pmml_fail(r, element, WEIR_INVALID, "names \"%.60s\", which is no class of the target",
                  label);
        return 0;
    }
    return index;
}

/* ---- target ---------------------------------------------------------------------------------- */

/* A segment that names no target of its own predicts its parent's, if it is of the same kind. */
static void read_target(struct pmml_reader *r, const struct pmml_element *element,
                        const struct pmml_element *schema, enum weir_model_function function,
                        struct pmml_target *target)
{
    const struct pmml_target *outer = r->target;
    const struct pmml_element *mining = pmml_find_target(schema);
    *target = (struct pmml_target){.name = "", .type = MODEL_STRING};
    bool classifies = function == WEIR_FUNCTION_CLASSIFICATION;
    target->function = function;
    if (function == WEIR_FUNCTION_CLUSTERING) {
        target->name = mining != NULL ? pmml_required(r, mining, "name") : "";
        target->classes = read_clusters(r, element);
        return;
    }
    if (mining == NULL && outer != NULL && (outer->classes != NULL) == classifies) {
        *target = *outer;
    } else if (mining != NULL) {
        target->name = pmml_required(r, mining, "name");
        const struct pmml_field *field = pmml_find_field(r, target->name);
        if (field != NULL) {
            target->type = field->type;
            target->optype = field->optype;
        }
    }
    target->classes = NULL;
    if (classifies) {
        bool same =
            outer != NULL && outer->classes != NULL && strcmp(outer->name, target->name) == 0;
        target->classes = same ? outer->classes : pmml_read_classes(r, element, target);
    }
}

static void read_target_value(struct pmml_reader *r, const struct pmml_element *e,
                              struct model_target *target, double *priors)
{
    target->default_value = pmml_number(r, e, "defaultValue", target->default_value);
    double prior = pmml_number(r, e, "priorProbability", -1);
    if (prior < 0 || priors == NULL) {
        return;
    }
    uint32_t index = pmml_class(r, e, pmml_required(r, e, "value"));
    if (r->err == WEIR_OK) {
        priors[index] = prior;
        if (target->default_class == UINT32_MAX || prior > priors[target->default_class]) {
            target->default_class = index;
        }
    }
}

const struct pmml_element *pmml_own_target(struct pmml_reader *r,
                                           const struct pmml_element *targets)
{
    const struct pmml_element *found = NULL;
    for (const struct pmml_element *e = targets->first; e != NULL; e = e->next) {
        const char *field = pmml_attribute(e, "field");
        bool is_own =
            field == NULL || r->target->name[0] == '\0' || strcmp(field, r->target->name) == 0;
        if (!pmml_is(e, "Target")) {
            pmml_unsupported(r, e);
        } else if (is_own && found != NULL) {
            pmml_fail(r, e, WEIR_INVALID, "is a second Target of one field");
        } else if (is_own) {
            found = e;
        }
    }
    return found;
}

static const struct model_target *read_targets(struct pmml_reader *r,
                                               const struct pmml_element *targets)
{
    static const char *const casts[] = {"", "round", "ceiling", "floor", NULL};
    struct model_target *target = model_alloc(&r->b, 1, sizeof *target);
    const struct model_classes *classes = r->target->classes;
    uint32_t class_count = classes != NULL ? classes->count : 0;
    double *priors = class_count > 0 ? model_alloc(&r->b, class_count, sizeof *priors) : NULL;
    const struct pmml_element *e = pmml_own_target(r, targets);
    if (!pmml_ok(r, targets) || e == NULL) {
        return NULL;
    }
    *target = (struct model_target){
        .min = pmml_number(r, e, "min", -INFINITY),
        .max = pmml_number(r, e, "max", INFINITY),
        .rescale_factor = pmml_number(r, e, "rescaleFactor", 1),
        .rescale_constant = pmml_number(r, e, "rescaleConstant", 0),
        .cast = (enum model_cast)pmml_choice(r, e, "castInteger", casts, 0),
        .default_value = model_missing(),
        .default_class = UINT32_MAX,
        .priors = priors,
    };
    for (const struct pmml_element *v = e->first; v != NULL && r->err == WEIR_OK; v = v->next) {
        if (pmml_is(v, "TargetValue")) {
            read_target_value(r, v, target, priors);
        } else {
            pmml_unsupported(r, v);
        }
    }
    return target;
}

/* ---- model elements -------------------------------------------------------------------------- */

void pmml_read_base(struct pmml_reader *r, const struct pmml_element *element,
                    const struct model_element_ops *ops, struct model_element *base)
{
    (void)element;
    base->ops = ops;
    base->classes = r->target->classes;
    base->function = r->target->function;
}

static void refuse_unscorable(struct pmml_reader *r, const struct pmml_element *e)
{
    const char *scorable = pmml_attribute(e, "isScorable");
    if (scorable != NULL && strcmp(scorable, "false") == 0) {
        pmml_fail(r, e, WEIR_UNSUPPORTED, "says isScorable=\"false\"");
    }
}

/* x-mathContext, of JPMML: the calculations are in float32, those of the other kinds in double. */
static bool read_context(struct pmml_reader *r, const struct pmml_element *e)
{
    static const char *const contexts[] = {"double", "float", NULL};
    bool is_float = pmml_choice(r, e, "x-mathContext", contexts, 0) == 1;
    bool is_sum =
        pmml_is(e, "TreeModel") || pmml_is(e, "MiningModel") || pmml_is(e, "RegressionModel");
    bool classifies = pmml_is(e, "TreeModel") && r->target->classes != NULL;
    if (is_float && (!is_sum || classifies)) {
        pmml_fail(r, e, WEIR_UNSUPPORTED,
                  "has x-mathContext=\"float\", which only sums and trees of numbers may have");
    }
    return is_float;
}

/* Everything between the open scope and its end. */
static struct model_element *read_in_scope(struct pmml_reader *r, const struct pmml_element *e,
                                           const struct pmml_element *schema, bool top)
{
    const struct pmml_element *local = pmml_child(e, "LocalTransformations");
    if (top) {
        pmml_read_schema_top(r, schema);
        if (r->transformations != NULL) {
            pmml_scope_add_derived(r, r->transformations);
        }
    } else {
        pmml_read_schema_segment(r, schema);
    }
    if (local != NULL) {
        pmml_scope_add_derived(r, local);
    }
    const struct pmml_asking *asking = r->asking;
    r->asking = NULL; /* it is about this model, not about those in it */
    struct model_element *base = r->err == WEIR_OK ? models[kind_of(e)].read(r, e) : NULL;
    r->asking = asking;
    if (r->err != WEIR_OK || base == NULL) {
        return NULL;
    }
    base->is_float = read_context(r, e);
    const struct pmml_element *targets = pmml_child(e, "Targets");
    if (targets != NULL) {
        base->target = read_targets(r, targets);
    }
    if (r->err == WEIR_OK) {
        pmml_read_output(r, e, top, base);
    }
    return base;
}

/* What a segment puts out is seen by those after it: its outputs move to the scope around it. */
static void publish_outputs(struct pmml_reader *r, const struct model_element *base)
{
    for (uint32_t i = 0; i < base->output_count; i++) {
        pmml_scope_add(r, base->outputs[i].name, base->outputs[i].slot);
    }
}

/* "mixed": neighbors predict several targets, the first of which is the model's. */
static enum weir_model_function read_function(struct pmml_reader *r, const struct pmml_element *e,
                                              const struct pmml_element *schema)
{
    static const char *const functions[] = {"regression", "classification",   "clustering",
                                            "mixed",      "associationRules", NULL};
    pmml_required(r, e, "functionName");
    uint32_t function = pmml_choice(r, e, "functionName", functions, 0);
    if (pmml_is(e, "AssociationModel")) {
        return WEIR_FUNCTION_ASSOCIATION;
    }
    bool mixed = function == 3 && pmml_is(e, "NearestNeighborModel");
    const struct pmml_element *target = mixed ? pmml_find_target(schema) : NULL;
    if (mixed) {
        const char *name = target != NULL ? pmml_attribute(target, "name") : NULL;
        const struct pmml_field *field = name != NULL ? pmml_find_field(r, name) : NULL;
        return field != NULL && field->optype != MODEL_CONTINUOUS ? WEIR_FUNCTION_CLASSIFICATION
                                                                  : WEIR_FUNCTION_REGRESSION;
    }
    if (function >= 3 || pmml_is(e, "ClusteringModel") != (function == WEIR_FUNCTION_CLUSTERING)) {
        pmml_fail(r, e, WEIR_UNSUPPORTED, "has a functionName that is not supported yet");
    }
    return (enum weir_model_function)function;
}

const struct model_element *pmml_read_model(struct pmml_reader *r, const struct pmml_element *e,
                                            bool top)
{
    uint32_t kind = kind_of(e);
    if (kind == MODEL_KINDS || models[kind].read == NULL) {
        pmml_unsupported(r, e);
        return NULL;
    }
    refuse_unscorable(r, e);
    const struct pmml_element *schema = pmml_child(e, "MiningSchema");
    if (schema == NULL) {
        pmml_fail(r, e, WEIR_INVALID, "needs a MiningSchema");
        return NULL;
    }
    enum weir_model_function function = read_function(r, e, schema);
    struct pmml_scope scope;
    struct pmml_target target;
    struct pmml_target *outer = r->target;
    read_target(r, e, schema, function, &target);
    r->target = &target;
    pmml_scope_open(r, &scope);
    struct model_element *base = r->err == WEIR_OK ? read_in_scope(r, e, schema, top) : NULL;
    pmml_scope_close(r);
    r->target = outer;
    if (!pmml_ok(r, e)) {
        return NULL;
    }
    if (!top) {
        publish_outputs(r, base);
    }
    return base;
}

/* ---- the document ---------------------------------------------------------------------------- */

static const struct pmml_element *find_model(struct pmml_reader *r)
{
    const struct pmml_element *root = r->document->root;
    const struct pmml_element *found = NULL;
    for (const struct pmml_element *e = root->first; e != NULL; e = e->next) {
        bool passive = pmml_is(e, "Header") || pmml_is(e, "MiningBuildTask") ||
                       pmml_is(e, "DataDictionary") || pmml_is(e, "TransformationDictionary");
        if (pmml_is_model(e)) {
            found = found == NULL ? e : found; /* the first one, as the standard says */
        } else if (!passive) {
            pmml_unsupported(r, e);
        }
    }
    if (found == NULL) {
        pmml_fail(r, root, WEIR_INVALID, "holds no model");
    }
    return found;
}

static enum weir_type column_type(const struct model_output *output, const struct model_element *m)
{
    bool is_class = output->feature == MODEL_FEATURE_PREDICTED_VALUE && m->classes != NULL;
    bool is_text = output->type == MODEL_STRING || output->type == MODEL_BOOLEAN;
    return is_text || is_class ? WEIR_STRING : WEIR_DOUBLE;
}

/* The columns of the output block: target, then Output fields or a probability for each class. */
static void describe_outputs(struct pmml_reader *r, const char *target,
                             struct model_builder_info *info)
{
    const struct model_element *root = r->b.model->root;
    uint32_t class_count = root->classes != NULL ? root->classes->count : 0;
    uint32_t extra = root->output_count > 0 ? root->output_count : class_count;
    bool is_text = class_count > 0 || root->function == WEIR_FUNCTION_ASSOCIATION;
    struct weir_field *fields = pmml_scratch(r, extra + 1, sizeof *fields);
    if (fields == NULL) {
        return;
    }
    fields[0] = (struct weir_field){.name = target[0] != '\0' ? target : "result",
                                    .type = is_text ? WEIR_STRING : WEIR_DOUBLE};
    for (uint32_t i = 0; i < extra; i++) {
        if (root->output_count > 0) {
            fields[i + 1].name = root->outputs[i].name;
            fields[i + 1].type = column_type(&root->outputs[i], root);
            continue;
        }
        struct weir_slice label = root->classes->labels[i];
        size_t bytes = label.bytes + sizeof "probability()";
        char *name = pmml_scratch(r, bytes, 1);
        if (name == NULL) {
            return;
        }
        snprintf(name, bytes, "probability(%.*s)", (int)label.bytes, (const char *)label.data);
        fields[i + 1] = (struct weir_field){.name = name, .type = WEIR_DOUBLE};
    }
    info->outputs = fields;
    info->output_count = extra + 1;
}

/* The ModelVerification of the model, or NULL. */
static const struct pmml_element *read_document(struct pmml_reader *r,
                                                struct model_builder_info *info)
{
    const struct pmml_element *root = r->document->root;
    if (!pmml_is(root, "PMML")) {
        pmml_fail(r, root, WEIR_PARSE, "is not PMML");
        return NULL;
    }
    const struct pmml_element *dictionary = pmml_child(root, "DataDictionary");
    const struct pmml_element *transformations = pmml_child(root, "TransformationDictionary");
    const struct pmml_element *model = find_model(r);
    if (dictionary == NULL) {
        pmml_fail(r, root, WEIR_INVALID, "needs a DataDictionary");
    }
    if (r->err != WEIR_OK) {
        return NULL;
    }
    pmml_read_dictionary(r, dictionary);
    r->transformations = transformations;
    if (transformations != NULL && r->err == WEIR_OK) {
        pmml_read_functions(r, transformations);
    }
    r->b.model->root = r->err == WEIR_OK ? pmml_read_model(r, model, true) : NULL;
    if (r->err != WEIR_OK) {
        return NULL;
    }
    const struct pmml_element *target = pmml_find_target(pmml_child(model, "MiningSchema"));
    info->target = target != NULL ? pmml_attribute(target, "name") : "";
    info->algorithm = model->name;
    describe_outputs(r, info->target, info);
    return pmml_child(model, "ModelVerification");
}

enum weir_err pmml_load(struct weir_slice bytes, const struct pmml_limits *limits,
                        struct weir_model **model_out, struct weir_error *error)
{
    struct pmml_document document;
    enum weir_err err = pmml_document_parse(bytes, limits, &document, error);
    if (err != WEIR_OK) {
        return err;
    }
    struct pmml_reader r = {.document = &document, .error = error};
    struct model_builder_info info = {.format = WEIR_FORMAT_PMML};
    err = model_builder_init(&r.b);
    if (err != WEIR_OK) {
        pmml_document_release(&document);
        return weir_error_set(error, err, -1, "out of memory");
    }
    const struct pmml_element *verification = read_document(&r, &info);
    err = r.err;
    struct weir_model *model = NULL;
    if (err == WEIR_OK) {
        err = model_builder_finish(&r.b, &info, &model, error);
    }
    if (err != WEIR_OK) {
        model_builder_release(&r.b);
    } else if (verification != NULL && limits->verify) {
        pmml_verify(&r, verification, model);
        err = r.err;
    }
    if (err == WEIR_OK) {
        *model_out = model;
    } else {
        weir_model_unref(model);
    }
    pmml_document_release(&document);
    return err;
}
