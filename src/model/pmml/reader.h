/*
 * model/pmml/reader.h - what the readers of PMML's elements share.
 *
 * What:    struct pmml_reader is the state of one load: the document, the model that is being
 *          built, the scopes in which field names mean slots. A reader of an element checks it and
 *          builds the core's struct for it.
 * Life:    one call of pmml_load.
 * Threads: one.
 * Memory:  what goes into the model lies in its arena (model_alloc), scopes and the document in the
 *          document's arena.
 * Errors:  sticky: pmml_fail keeps the first one; after it every function here is harmless and
 *          returns nothing useful, so a reader looks at r->err only where it would loop or index.
 */
#ifndef WEIR_MODEL_PMML_READER_H
#define WEIR_MODEL_PMML_READER_H

#include "model/core/builder.h"
#include "model/pmml/document.h"

enum { PMML_SCOPE_BUCKETS = 64 };

/* A name in a scope. */
struct pmml_name {
    const char *name;
    struct pmml_name *next; /* in its bucket */
    uint32_t slot;
    const struct pmml_element *derived; /* DerivedField, compiled at first use; then NULL */
    bool compiling;
};

/* Names of one model element; those of its parent are seen through it. */
struct pmml_scope {
    struct pmml_scope *parent;
    struct pmml_name *buckets[PMML_SCOPE_BUCKETS];
};

/* A DataField of the dictionary. */
struct pmml_field {
    const char *name;
    const struct pmml_element *element;
    enum model_type type;
    enum model_optype optype;
};

/* A DefineFunction. */
struct pmml_function {
    const char *name;
    const struct pmml_element *element;
    bool expanding;
};

/* The segment that is being read: OutputFields of the model around it may ask for its results. */
struct pmml_asking {
    const struct pmml_element *output; /* of the model around it */
    const char *id;                    /* or NULL: its place, from 1 */
    uint32_t place;
};

/* What a model element predicts. */
struct pmml_target {
    const char *name; /* "" if there is none */
    enum model_type type;
    enum model_optype optype;
    enum weir_model_function function;
    const struct model_classes *classes; /* classification, clustering; else NULL */
};

struct pmml_reader {
    struct pmml_document *document;
    struct model_builder b;
    struct weir_error *error;
    enum weir_err err;
    uint32_t field_count;
    struct pmml_field *fields;
    struct pmml_scope *scope;                   /* the innermost */
    struct pmml_target *target;                 /* of the innermost model element */
    const struct pmml_asking *asking;           /* NULL: nobody asks */
    const struct pmml_element *transformations; /* TransformationDictionary, or NULL */
    uint32_t function_count;
    struct pmml_function *functions;
    uint32_t derivation_depth; /* of fields and expressions in one another */
    uint32_t expansions;       /* calls of defined functions */
};

/* Names of DATATYPE in the order of enum model_type. */
extern const char *const pmml_type_names[];

/* ---- errors and attributes (reader.c) -------------------------------------------------------- */

/* Keeps "line N: <Element> ..." and code unless there is an error already. */
void pmml_fail(struct pmml_reader *r, const struct pmml_element *element, enum weir_err code,
               const char *format, ...) WEIR_PRINTF(4, 5);
/* "<Element> is not supported yet". */
void pmml_unsupported(struct pmml_reader *r, const struct pmml_element *element);
/* Brings an error of the builder into r->err. False: there is an error. */
bool pmml_ok(struct pmml_reader *r, const struct pmml_element *element);
/* Zeroed memory of the document's arena, or NULL. */
void *pmml_scratch(struct pmml_reader *r, size_t count, size_t bytes);

/* A required attribute; "" and an error without it. */
const char *pmml_required(struct pmml_reader *r, const struct pmml_element *element,
                          const char *name);
/* Closure and margins of an Interval. */
struct model_interval pmml_interval(struct pmml_reader *r, const struct pmml_element *element);
/* A number; fallback when absent. An attribute that is no number is an error. */
double pmml_number(struct pmml_reader *r, const struct pmml_element *element, const char *name,
                   double fallback);
double pmml_required_number(struct pmml_reader *r, const struct pmml_element *element,
                            const char *name);
/* Index of the attribute's value in names (ends with NULL); fallback when absent, UNSUPPORTED when
 * it is none of them. */
uint32_t pmml_choice(struct pmml_reader *r, const struct pmml_element *element, const char *name,
                     const char *const *names, uint32_t fallback);
struct weir_slice pmml_slice(const char *text);
/* Text as a value of a type; INVALID names the attribute it stood in. */
double pmml_value(struct pmml_reader *r, const struct pmml_element *element, enum model_type type,
                  const char *text);
/* Words of an Array element's text: blanks separate, quotes hold together, \" is a quote. */
uint32_t pmml_array(struct pmml_reader *r, const struct pmml_element *array,
                    const struct weir_slice **words_out);

/* Numbers of the one Array in an element, which has to hold count of them. */
void pmml_read_numbers(struct pmml_reader *r, const struct pmml_element *parent, uint32_t count,
                       double *numbers);

/* ---- fields (fields.c) ----------------------------------------------------------------------- */

void pmml_read_dictionary(struct pmml_reader *r, const struct pmml_element *dictionary);
const struct pmml_field *pmml_find_field(const struct pmml_reader *r, const char *name);
void pmml_scope_open(struct pmml_reader *r, struct pmml_scope *scope);
void pmml_scope_close(struct pmml_reader *r);
void pmml_scope_add(struct pmml_reader *r, const char *name, uint32_t slot);
/* DerivedFields of a TransformationDictionary or LocalTransformations. */
void pmml_scope_add_derived(struct pmml_reader *r, const struct pmml_element *transformations);
/* Inputs of the top model: treatment of each active MiningField. */
void pmml_read_schema_top(struct pmml_reader *r, const struct pmml_element *schema);
/* The target as one more input, which may be missing: what was observed. Its slot has no name. */
uint32_t pmml_read_observed(struct pmml_reader *r, const struct pmml_element *mining);
/* A segment's MiningSchema: treatments of its own over the slots of its parent. */
void pmml_read_schema_segment(struct pmml_reader *r, const struct pmml_element *schema);
/* The first MiningField of usage target or predicted, or NULL. */
const struct pmml_element *pmml_find_target(const struct pmml_element *schema);
/* Slot of a field name; `element` is who asks. 0 and INVALID if there is none. */
uint32_t pmml_slot(struct pmml_reader *r, const struct pmml_element *element, const char *name);
/* The name means a field here. */
bool pmml_in_scope(const struct pmml_reader *r, const char *name);
const struct model_slot *pmml_slot_info(const struct pmml_reader *r, uint32_t slot);
/* The declared valid values of a DataField, in order. */
uint32_t pmml_declared_labels(struct pmml_reader *r, const struct pmml_element *data_field,
                              const struct weir_slice **labels_out);

/* ---- expressions and predicates -------------------------------------------------------------- */

bool pmml_is_expression(const struct pmml_element *element);
/* wanted: type of a value that the expression writes down without saying its type, or
 * MODEL_TYPE_OPEN. expr->type is what it gives. */
void pmml_read_expression(struct pmml_reader *r, const struct pmml_element *element,
                          enum model_type wanted, struct model_expr *expr);
/* A field as an expression; `element` is who names it. */
struct model_expr pmml_field_expression(struct pmml_reader *r, const struct pmml_element *element,
                                        const char *name);
/* The expression in a DerivedField, OutputField or DefineFunction, brought to a type. */
void pmml_read_derivation(struct pmml_reader *r, const struct pmml_element *field,
                          enum model_type type, struct model_expr *expr);
/* Makes an expression one of another type; MODEL_TYPE_OPEN leaves it. */
void pmml_cast(struct pmml_reader *r, const struct pmml_element *element, enum model_type type,
               struct model_expr *expr);
/* DefineFunctions of a TransformationDictionary. */
void pmml_read_functions(struct pmml_reader *r, const struct pmml_element *transformations);
void pmml_read_apply(struct pmml_reader *r, const struct pmml_element *element,
                     struct model_expr *expr);
void pmml_read_discretize(struct pmml_reader *r, const struct pmml_element *element,
                          enum model_type wanted, struct model_expr *expr);
void pmml_read_map_values(struct pmml_reader *r, const struct pmml_element *element,
                          enum model_type wanted, struct model_expr *expr);
/* Cell of an InlineTable's row, or NULL; a column may be written with its namespace's prefix. */
const struct pmml_element *pmml_cell(const struct pmml_element *row, const char *column);
/* Its text; null slice: there is no such cell, or nothing in it. */
struct weir_slice pmml_cell_text(struct pmml_reader *r, const struct pmml_element *row,
                                 const char *column);
/* Points and outliers of a NormContinuous, not its field. */
void pmml_read_norm_continuous(struct pmml_reader *r, const struct pmml_element *element,
                               struct model_expr *expr);
bool pmml_is_predicate(const struct pmml_element *element);
/* The one predicate among an element's children. */
void pmml_read_predicate_of(struct pmml_reader *r, const struct pmml_element *element,
                            struct model_predicate *predicate);

/* ---- comparison (comparison.c) --------------------------------------------------------------- */

/* The measure of a ComparisonMeasure; the compareFunction of fields that name none. */
enum model_compare pmml_read_measure(struct pmml_reader *r, const struct pmml_element *element,
                                     struct model_comparison *comparison);
/* A ClusteringField or KNNInput: its field, compareFunction and weight. */
void pmml_read_compared_field(struct pmml_reader *r, const struct pmml_element *element,
                              enum model_compare fallback, struct model_compared_field *field);

/* ---- verification (verification.c) ----------------------------------------------------------- */

/* Scores the rows of a ModelVerification; INVALID names the first one that comes out otherwise. */
void pmml_verify(struct pmml_reader *r, const struct pmml_element *element,
                 struct weir_model *model);

/* ---- models ---------------------------------------------------------------------------------- */

bool pmml_is_model(const struct pmml_element *element);
/* A model element with its scope, target, outputs; top: its MiningSchema makes the inputs. */
const struct model_element *pmml_read_model(struct pmml_reader *r,
                                            const struct pmml_element *element, bool top);
/* The Output of a model element, if it has one; its fields become names of the scope. */
void pmml_read_output(struct pmml_reader *r, const struct pmml_element *model, bool top,
                      struct model_element *base);
/* An OutputField of an AssociationModel about its rules; the type of its values. */
bool pmml_is_rule_feature(const struct pmml_element *model, const struct pmml_element *element);
enum model_type pmml_read_rule_feature(struct pmml_reader *r, const struct pmml_element *element,
                                       const struct model_element *base,
                                       struct model_output *output);
/* The Target of the model's own target, or one without a name; those of other fields are left. */
const struct pmml_element *pmml_own_target(struct pmml_reader *r,
                                           const struct pmml_element *targets);
/* Fills the base; the readers of elements call it first. */
void pmml_read_base(struct pmml_reader *r, const struct pmml_element *element,
                    const struct model_element_ops *ops, struct model_element *base);
/* Index of a class label of the current target. INVALID if there is none. */
uint32_t pmml_class(struct pmml_reader *r, const struct pmml_element *element, const char *label);

/* The classes of a target: its field's declared values, else the labels found below `element`. */
const struct model_classes *pmml_read_classes(struct pmml_reader *r,
                                              const struct pmml_element *element,
                                              const struct pmml_target *target);
/* Column of a NearestNeighborModel's training instances that holds a field, or NULL. */
const char *pmml_instance_column(const struct pmml_element *model, const char *field);
/* TrainingInstances, which must have InstanceFields and a row. */
struct pmml_training {
    const struct pmml_element *table; /* InlineTable */
    const struct pmml_element *fields;
    uint32_t count;
    bool is_transformed;
};
struct pmml_training pmml_find_training(struct pmml_reader *r, const struct pmml_element *element);
/* Cells of a column as values of a type, `step` apart; an empty one is missing. */
void pmml_read_training(struct pmml_reader *r, const struct pmml_training *training,
                        const char *column, enum model_type type, double *values, uint32_t step);

/* Each builds its element, or fails. */
typedef struct model_element *pmml_model_reader(struct pmml_reader *r,
                                                const struct pmml_element *element);
pmml_model_reader pmml_read_tree;
pmml_model_reader pmml_read_mining;
pmml_model_reader pmml_read_regression;
pmml_model_reader pmml_read_general_regression;
pmml_model_reader pmml_read_neural;
pmml_model_reader pmml_read_scorecard;
pmml_model_reader pmml_read_rule_set;
pmml_model_reader pmml_read_naive_bayes;
pmml_model_reader pmml_read_clustering;
pmml_model_reader pmml_read_support_vectors;
pmml_model_reader pmml_read_neighbors;
pmml_model_reader pmml_read_anomaly;
pmml_model_reader pmml_read_association;
pmml_model_reader pmml_read_baseline;
pmml_model_reader pmml_read_gaussian_process;

#endif
