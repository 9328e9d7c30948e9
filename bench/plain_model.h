/*
 * plain_model.h - what a person would write by hand for one linear model, tree or forest: a loop
 * over terms, a walk from node to node. The yardstick of bench_model.
 *
 * Reads only what the reference models have: NumericPredictor terms, or nodes with a
 * SimplePredicate lessOrEqual / greaterThan and their ScoreDistributions; forests average
 * probabilities.
 */
#ifndef BENCH_PLAIN_MODEL_H
#define BENCH_PLAIN_MODEL_H

#include <weir/model.h>

enum { PLAIN_CLASSES_MAX = 16, PLAIN_INPUTS_MAX = 64 };

struct plain_model;

/* NULL if the model is of another kind, or for want of memory. Free with plain_model_free. */
struct plain_model *plain_model_new(struct weir_slice pmml, struct weir_schema *schema);
void plain_model_free(struct plain_model *plain);
/* The number, or the label read as a number, for a row of the schema's columns. */
double plain_model_score(const struct plain_model *plain, const double *row);

#endif
