/*
 * model/core/elements.h - the elements a compiled model is made of.
 *
 * What:    one struct and one table of operations for each kind of model. A reader fills the struct
 *          (in the model's arena, base first: element.ops = &model_<kind>_ops) and hangs it into
 *          its parent or makes it weir_model.root.
 * Life, threads, memory: as the model (form.h). Arrays are borrowed from the arena.
 * Work:    an element that returns arrays of its own needs doubles in row->work: the reader takes
 *          them with model_builder_work, as many as `Work` says at each struct.
 */
#ifndef WEIR_MODEL_CORE_ELEMENTS_H
#define WEIR_MODEL_CORE_ELEMENTS_H

#include "model/core/form.h"

/* ---- TreeModel ------------------------------------------------------------------------------- */

enum model_missing_strategy {
    MODEL_STRATEGY_NONE,
    MODEL_STRATEGY_NULL_PREDICTION,
    MODEL_STRATEGY_LAST_PREDICTION,
    MODEL_STRATEGY_DEFAULT_CHILD,
    MODEL_STRATEGY_WEIGHTED_CONFIDENCE,
    MODEL_STRATEGY_AGGREGATE_NODES,
};

struct model_node {
    struct model_predicate predicate;
    const struct model_node *children; /* [child_count], in document order */
    uint32_t child_count;
    int32_t default_child; /* index, or -1 */
    bool has_score;
    double number;               /* regression */
    uint32_t class_index;        /* classification */
    const double *probabilities; /* [class_count] or NULL */
    const double *confidences;   /* [class_count] or NULL */
    const double *counts;        /* [class_count] of records: AGGREGATE_NODES, else NULL */
    double record_count;         /* WEIGHTED_CONFIDENCE */
    struct weir_slice id;
};

struct model_tree {
    struct model_element element;
    struct model_node root;
    enum model_missing_strategy missing_strategy;
    bool return_last_prediction; /* noTrueChildStrategy */
    double missing_penalty;      /* multiplies confidences once for each missing level */
}; /* Work: class_count if missing_penalty != 1 (scaled confidences) or the strategy gathers
      confidences or counts, else 0 */

extern const struct model_element_ops model_tree_ops;

/* ---- Segmentation (MiningModel) -------------------------------------------------------------- */

enum model_method {
    MODEL_METHOD_MAJORITY_VOTE,
    MODEL_METHOD_WEIGHTED_MAJORITY_VOTE,
    MODEL_METHOD_AVERAGE,
    MODEL_METHOD_WEIGHTED_AVERAGE,
    MODEL_METHOD_MEDIAN,
    MODEL_METHOD_WEIGHTED_MEDIAN,
    MODEL_METHOD_MAX,
    MODEL_METHOD_SUM,
    MODEL_METHOD_WEIGHTED_SUM,
    MODEL_METHOD_SELECT_FIRST,
    MODEL_METHOD_MODEL_CHAIN,
};

enum model_missing_prediction {
    MODEL_PREDICTION_RETURN_MISSING,
    MODEL_PREDICTION_SKIP_SEGMENT,
    MODEL_PREDICTION_CONTINUE,
};

struct model_segment {
    struct model_predicate predicate;
    const struct model_element *element;
    double weight;
    bool has_weight_slot; /* VariableWeight instead */
    uint32_t weight_slot;
    struct weir_slice id;
};

struct model_segmentation {
    struct model_element element;
    enum model_method method;
    enum model_missing_prediction missing_prediction;
    double missing_threshold; /* share of weight that may be missing */
    uint32_t segment_count;
    const struct model_segment *segments;
}; /* Work: class_count (regression: 0); for MEDIAN also segment_count x max(class_count, 1), for
      WEIGHTED_MEDIAN twice that */

extern const struct model_element_ops model_segmentation_ops;

/* ---- RegressionModel ------------------------------------------------------------------------- */

/* Also what link functions undo: see model_link_inverse. */
enum model_normalization {
    MODEL_NORMALIZATION_NONE,
    MODEL_NORMALIZATION_SIMPLEMAX,
    MODEL_NORMALIZATION_SOFTMAX,
    MODEL_NORMALIZATION_LOGIT,
    MODEL_NORMALIZATION_PROBIT,
    MODEL_NORMALIZATION_CLOGLOG,
    MODEL_NORMALIZATION_EXP,
    MODEL_NORMALIZATION_LOGLOG,
    MODEL_NORMALIZATION_CAUCHIT,
};

struct model_numeric_predictor {
    uint32_t slot;
    double exponent, coefficient;
};

struct model_categorical_predictor {
    uint32_t slot;
    double value, coefficient;
};

struct model_predictor_term {
    const uint32_t *slots; /* [slot_count] factors of the product */
    uint32_t slot_count;
    double coefficient;
};

struct model_regression_table {
    double intercept;
    uint32_t class_index;
    uint32_t numeric_count, categorical_count, term_count;
    const struct model_numeric_predictor *numeric;
    const struct model_categorical_predictor *categorical;
    const struct model_predictor_term *terms;
};

struct model_regression {
    struct model_element element;
    enum model_normalization normalization;
    bool ordinal; /* the target's optype */
    uint32_t table_count;
    const struct model_regression_table *tables;
}; /* Work: class_count + table_count */

extern const struct model_element_ops model_regression_ops;

/* Inverse link of one value: logit, probit, cloglog, loglog, cauchit, exp; others: the value. */
double model_link_inverse(enum model_normalization normalization, double value);
/* In place: p = exp(v - max) / sum; p = v / sum. */
void model_softmax(double *values, uint32_t count);
void model_simplemax(double *values, uint32_t count);
/* Index of the largest, the first of equals; NaN is passed over. UINT32_MAX: nothing but NaN. */
uint32_t model_argmax(const double *values, uint32_t count);

/* ---- GeneralRegressionModel ------------------------------------------------------------------ */

enum model_link {
    MODEL_LINK_IDENTITY,
    MODEL_LINK_LOG,
    MODEL_LINK_LOGIT,
    MODEL_LINK_PROBIT,
    MODEL_LINK_CLOGLOG,
    MODEL_LINK_LOGLOG,
    MODEL_LINK_CAUCHIT,
    MODEL_LINK_LOGC,
    MODEL_LINK_NEGBIN,
    MODEL_LINK_ODDSPOWER,
    MODEL_LINK_POWER,
};

/* A PPCell: a covariate to a power, a factor that must have a category, or one with contrasts. */
struct model_ppcell {
    uint32_t slot;
    bool factor;
    double value;            /* exponent, or category */
    uint32_t category_count; /* above 0: what the factor's category is worth in its matrix */
    const double *categories;
    const double *contrasts;
};

/* A PCell with the cells of its parameter: beta x the product of its cells (1 without any). */
struct model_pcell {
    double beta;
    double reference;     /* referencePoint of the parameter, which Cox's regression takes off */
    uint32_t class_index; /* of targetCategory; UINT32_MAX = all */
    uint32_t cell_count;
    const struct model_ppcell *cells;
};

/* A BaselineStratum, or the only table: the cumulative hazard from each time on. */
struct model_baseline {
    double stratum, time_max;
    uint32_t cell_count;
    const double *times; /* [cell_count] ascending */
    const double *hazards;
};

/* CoxRegression. */
struct model_cox {
    uint32_t time_slot;
    bool has_strata;
    uint32_t stratum_slot;
    uint32_t baseline_count;
    const struct model_baseline *baselines;
};

struct model_general_regression {
    struct model_element element;
    enum model_link link;
    double link_parameter, dist_parameter;
    bool has_offset_slot, has_trials_slot;
    uint32_t offset_slot, trials_slot;
    double offset, trials; /* 0 and 1 when not given */
    uint32_t pcell_count;
    const struct model_pcell *pcells; /* in the order of ParamMatrix */
    const struct model_cox *cox;      /* the number is the cumulative hazard; or NULL */
    /*
     * Classification. multinomial: softmax over the classes, the reference's sum being 0. ordinal:
     * the inverse cumulative link is the probability of a class and all before it. Otherwise two
     * classes: the inverse link is the probability of the other one than the reference.
     */
    bool multinomial, ordinal;
    enum model_normalization cumulative_link;
    uint32_t reference_class;
}; /* Work: class_count */

extern const struct model_element_ops model_general_regression_ops;

/* ---- Scorecard ------------------------------------------------------------------------------ */

struct model_attribute {
    struct model_predicate predicate;
    double partial_score;
    const struct model_expr *expr; /* ComplexPartialScore instead, or NULL */
    double baseline;               /* of the attribute, its characteristic or the model */
    double reason;                 /* reasonCode, a string's value */
};

struct model_characteristic {
    const struct model_attribute *attributes;
    uint32_t attribute_count;
};

struct model_scorecard {
    struct model_element element;
    double initial_score;
    bool use_reason_codes, points_above;
    uint32_t characteristic_count;
    const struct model_characteristic *characteristics;
}; /* Work: 2 * characteristic_count */

extern const struct model_element_ops model_scorecard_ops;

/* ---- RuleSetModel ---------------------------------------------------------------------------- */

enum model_criterion {
    MODEL_CRITERION_FIRST_HIT,
    MODEL_CRITERION_WEIGHTED_SUM,
    MODEL_CRITERION_WEIGHTED_MAX,
};

/* A SimpleRule, or a CompoundRule with the rules in it. */
struct model_rule {
    struct model_predicate predicate;
    bool is_compound;
    uint32_t rule_count;
    const struct model_rule *rules;
    uint32_t class_index;
    double weight, confidence;
    struct weir_slice id;
};

struct model_rule_set {
    struct model_element element;
    enum model_criterion criterion;
    uint32_t rule_count;
    const struct model_rule *rules;
    uint32_t default_class; /* UINT32_MAX = none */
    double default_confidence;
}; /* Work: class_count */

extern const struct model_element_ops model_rule_set_ops;

/* ---- NaiveBayesModel ------------------------------------------------------------------------- */

enum model_distribution_kind {
    MODEL_DISTRIBUTION_NONE, /* the class has none: every density is 0 */
    MODEL_DISTRIBUTION_GAUSSIAN,
    MODEL_DISTRIBUTION_POISSON,
    MODEL_DISTRIBUTION_UNIFORM,
};

struct model_distribution {
    enum model_distribution_kind kind;
    double a, b; /* mean and variance; mean; lower and upper */
};

/* A BayesInput: a table of values, or a distribution for each class. */
struct model_bayes_input {
    struct model_expr expr;
    uint32_t value_count;
    const double *values; /* [value_count] */
    const double *shares; /* [value_count][class_count] P(value | class) */
    const struct model_distribution *distributions; /* [class_count], or NULL */
    double density_min;                             /* the threshold stands in for less */
};

struct model_naive_bayes {
    struct model_element element;
    double threshold; /* in place of a share of 0 and of too small a density */
    uint32_t input_count;
    const struct model_bayes_input *inputs;
    const double *counts; /* [class_count] of the target */
};                        /* Work: 2 * class_count */

extern const struct model_element_ops model_naive_bayes_ops;

/* ---- ClusteringModel ------------------------------------------------------------------------- */

enum model_compare {
    MODEL_COMPARE_ABS_DIFF,
    MODEL_COMPARE_GAUSS_SIM,
    MODEL_COMPARE_DELTA,
    MODEL_COMPARE_EQUAL,
};

enum model_measure {
    MODEL_MEASURE_EUCLIDEAN,
    MODEL_MEASURE_SQUARED_EUCLIDEAN,
    MODEL_MEASURE_CHEBYCHEV,
    MODEL_MEASURE_CITY_BLOCK,
    MODEL_MEASURE_MINKOWSKI,
    MODEL_MEASURE_SIMPLE_MATCHING, /* this one and those behind it count ones and zeros */
    MODEL_MEASURE_JACCARD,
    MODEL_MEASURE_TANIMOTO,
    MODEL_MEASURE_BINARY_SIMILARITY,
};

struct model_compared_field {
    struct model_expr expr;
    enum model_compare compare;
    double weight;         /* fieldWeight */
    double missing_weight; /* of MissingValueWeights */
    double scale;          /* similarityScale of GAUSS_SIM */
};

/* A ComparisonMeasure over fields. */
struct model_comparison {
    enum model_measure measure;
    bool similarity; /* the largest wins */
    double p;        /* MINKOWSKI */
    double above[4]; /* BINARY_SIMILARITY: c00, c01, c10, c11 */
    double below[4]; /* and d00 ... */
    uint32_t field_count;
    const struct model_compared_field *fields;
    double missing_weight_sum;
};

/*
 * Distance or similarity of a row's values and a center, both [field_count]; missing values take no
 * part. NaN when it is not defined: all are missing, the center lacks what the row has, a measure
 * of ones and zeros finds another.
 */
double model_compare_to(const struct model_comparison *comparison, const double *values,
                        const double *center);
/* Indexes of the `wanted` best of count values into best[], the first of equals first; a NaN is
 * none. Returns how many there are. */
uint32_t model_rank(const double *values, uint32_t count, bool largest, uint32_t wanted,
                    double *best);

/* The classes are the clusters, by their ids. */
struct model_clustering {
    struct model_element element;
    struct model_comparison comparison;
    const double *centers; /* [class_count][field_count] */
};                         /* Work: field_count + 2 * class_count */

extern const struct model_element_ops model_clustering_ops;

/* ---- NearestNeighborModel -------------------------------------------------------------------- */

enum model_neighbor_vote {
    MODEL_VOTE_PLAIN,    /* majorityVote, average */
    MODEL_VOTE_WEIGHTED, /* by 1 / (distance + threshold) */
    MODEL_VOTE_MEDIAN,
};

/* What is predicted from the neighbors' own values. */
struct model_neighbor_target {
    const struct model_classes *classes; /* NULL: a number */
    const double *values; /* [instance_count] number, or index of the class; missing */
    const double *cases;  /* [class_count] instances of each class: settle a tie */
    enum model_neighbor_vote vote;
    uint32_t slot; /* of all targets but the first, whose value is the model's result */
};

struct model_neighbors {
    struct model_element element;
    struct model_comparison comparison;
    uint32_t neighbor_count; /* <= instance_count */
    uint32_t instance_count;
    double threshold;
    const double *instances;      /* [instance_count][field_count] */
    const struct weir_slice *ids; /* [instance_count] */
    uint32_t target_count;
    const struct model_neighbor_target *targets;
}; /* Work: field_count + instance_count + neighbor_count, and the larger of neighbor_count and the
      classes of a target */

extern const struct model_element_ops model_neighbors_ops;

/* ---- AssociationModel ------------------------------------------------------------------------ */

/* A value that means an item. */
struct model_item_source {
    uint32_t slot, item;
    double value;
};

struct model_itemset {
    uint32_t count;
    const uint32_t *items;
    double text; /* "a", "{a , b}": a string's value */
};

enum model_rule_basis {
    MODEL_BASIS_CONFIDENCE,
    MODEL_BASIS_SUPPORT,
    MODEL_BASIS_LIFT,
    MODEL_BASIS_LEVERAGE,
    MODEL_BASIS_AFFINITY,
    MODEL_BASIS_COUNT,
};

struct model_association_rule {
    const struct model_itemset *antecedent, *consequent;
    double measures[MODEL_BASIS_COUNT]; /* missing when not given */
    double text, id;                    /* strings' values */
};

/* Which rules an OutputField is about; the antecedent is always in the basket. */
enum model_rule_algorithm {
    MODEL_RULES_EXCLUSIVE_RECOMMENDATION, /* the consequent is not */
    MODEL_RULES_RECOMMENDATION,
    MODEL_RULES_ASSOCIATION, /* the consequent is, too */
};

enum model_rule_feature {
    MODEL_RULE_ANTECEDENT,
    MODEL_RULE_CONSEQUENT,
    MODEL_RULE_TEXT,
    MODEL_RULE_ID,
    MODEL_RULE_CONFIDENCE, /* this one and those behind it in the order of enum model_rule_basis */
};

struct model_rule_choice {
    enum model_rule_algorithm algorithm;
    enum model_rule_basis basis;
    enum model_rule_feature feature;
    bool ascending;
    bool all; /* every rule, as "[a, b]"; else the one of the output's rank */
};

struct model_association {
    struct model_element element;
    bool has_group;
    uint32_t group_slot;
    uint32_t item_count, source_count, rule_count;
    const struct model_item_source *sources;
    const struct model_association_rule *rules;
}; /* Work: 2 + item_count + rule_count */

extern const struct model_element_ops model_association_ops;

/* What a choice gives for the row that was scored last. */
double model_rule_value(const struct model_association *m, const struct model_rule_choice *choice,
                        uint32_t rank, struct model_row *row);

/* ---- AnomalyDetectionModel ------------------------------------------------------------------- */

enum model_anomaly_kind {
    MODEL_ANOMALY_ISOLATION_FOREST, /* 2 ^ -(mean path length / path_length) */
    MODEL_ANOMALY_ONE_CLASS,        /* what the support vectors give */
    MODEL_ANOMALY_CLUSTER_DISTANCE, /* distance to the cluster / mean of the cluster */
};

struct model_anomaly {
    struct model_element element;
    enum model_anomaly_kind kind;
    const struct model_element *inner;
    double path_length;      /* mean of an unsuccessful search in a tree of as many records */
    const double *distances; /* CLUSTER_DISTANCE: [classes of inner] */
};

extern const struct model_element_ops model_anomaly_ops;

/* ---- BaselineModel --------------------------------------------------------------------------- */

/* zValue of a field by the baseline's distribution. */
struct model_baseline_test {
    struct model_element element;
    uint32_t slot;
    double mean, variance;
};

extern const struct model_element_ops model_baseline_ops;

/* ---- GaussianProcessModel -------------------------------------------------------------------- */

enum model_covariance {
    MODEL_COVARIANCE_RADIAL_BASIS,
    MODEL_COVARIANCE_SQUARED_EXPONENTIAL,
    MODEL_COVARIANCE_ABSOLUTE_EXPONENTIAL,
    MODEL_COVARIANCE_GENERALIZED_EXPONENTIAL,
};

struct model_gaussian_process {
    struct model_element element;
    enum model_covariance covariance;
    double gamma, degree;
    uint32_t input_count, instance_count;
    const uint32_t *slots;      /* [input_count] */
    const double *lambdas;      /* [input_count] */
    const double *instances;    /* [instance_count][input_count] */
    const double *coefficients; /* [instance_count] (K + noise I)^-1 y */
};                              /* Work: input_count */

extern const struct model_element_ops model_gaussian_process_ops;

/* k(x, z) of two records, [input_count]. */
double model_covariance_of(const struct model_gaussian_process *m, const double *x,
                           const double *z);

/* ---- SupportVectorMachineModel --------------------------------------------------------------- */

enum model_kernel {
    MODEL_KERNEL_LINEAR,
    MODEL_KERNEL_POLYNOMIAL,
    MODEL_KERNEL_RADIAL_BASIS,
    MODEL_KERNEL_SIGMOID,
};

struct model_support_machine {
    uint32_t class_index, alternate_index; /* UINT32_MAX = none */
    double threshold, constant;
    uint32_t count;
    const uint32_t *vectors;    /* [count] of the dictionary; NULL: coefficients are the normal's */
    const double *coefficients; /* [count], or [input_count] without vectors */
};

struct model_support_vectors {
    struct model_element element;
    enum model_kernel kernel;
    double gamma, coef0, degree;
    bool one_against_one, max_wins;
    uint32_t input_count, vector_count, machine_count;
    const struct model_expr *inputs;
    const double *vectors; /* [vector_count][input_count] */
    const struct model_support_machine *machines;
}; /* Work: input_count + vector_count + class_count */

extern const struct model_element_ops model_support_vectors_ops;

/* ---- NeuralNetwork --------------------------------------------------------------------------- */

enum model_activation {
    MODEL_ACTIVATION_IDENTITY,
    MODEL_ACTIVATION_LOGISTIC,
    MODEL_ACTIVATION_TANH,
    MODEL_ACTIVATION_RECTIFIER,
    MODEL_ACTIVATION_THRESHOLD,
    MODEL_ACTIVATION_EXPONENTIAL,
    MODEL_ACTIVATION_RECIPROCAL,
    MODEL_ACTIVATION_SQUARE,
    MODEL_ACTIVATION_GAUSS,
    MODEL_ACTIVATION_SINE,
    MODEL_ACTIVATION_COSINE,
    MODEL_ACTIVATION_ELLIOTT,
    MODEL_ACTIVATION_ARCTAN,
    MODEL_ACTIVATION_RADIAL_BASIS,
};

struct model_connection {
    uint32_t from; /* index of an activation: inputs first, then neurons in document order */
    double weight;
};

struct model_neuron {
    double bias, width, altitude;
    const struct model_connection *connections;
    uint32_t connection_count;
};

struct model_neural_layer {
    const struct model_neuron *neurons;
    uint32_t neuron_count;
    enum model_activation activation;
    enum model_normalization normalization; /* NONE, SIMPLEMAX, SOFTMAX */
    double threshold;
};

struct model_neural_output {
    uint32_t from;                 /* index of an activation */
    uint32_t class_index;          /* classification */
    const struct model_expr *expr; /* regression: NORM_CONTINUOUS to invert, or SLOT: as it is */
};

struct model_neural {
    struct model_element element;
    uint32_t input_count, layer_count, output_count, activation_count;
    const struct model_expr *inputs; /* [input_count] */
    const struct model_neural_layer *layers;
    const struct model_neural_output *outputs;
}; /* Work: activation_count + class_count */

extern const struct model_element_ops model_neural_ops;

double model_activate(enum model_activation activation, double threshold, double z);

/* ---- dense network (graphs) ------------------------------------------------------------------ */

/*
 * y = activation(x W + b) in float32: each product and each sum is rounded to float, products are
 * summed in the order of the inputs, from 0, the bias is added last. Activations: IDENTITY,
 * LOGISTIC, TANH, RECTIFIER, softmax as normalization.
 */
struct model_dense_layer {
    uint32_t inputs, outputs;
    const float *weights; /* [inputs][outputs] */
    const float *bias;    /* [outputs], or NULL */
    enum model_activation activation;
    enum model_normalization normalization; /* NONE or SOFTMAX */
};

/* A graph of dense layers. Classification: the class is the index of the largest output, the
 * probabilities are the outputs. */
struct model_dense {
    struct model_element element;
    uint32_t input_count; /* inputs are the model's inputs 0 .. input_count - 1 */
    uint32_t layer_count;
    uint32_t width_max; /* of inputs and of all layers */
    const struct model_dense_layer *layers;
}; /* Work: 2 * width_max + class_count */

extern const struct model_element_ops model_dense_ops;

#endif
