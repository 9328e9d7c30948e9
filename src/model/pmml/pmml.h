/*
 * model/pmml/pmml.h - the reader of PMML 3.0 to 4.4.
 *
 * Life, threads, memory, errors: as weir_model_load, which calls it.
 */
#ifndef WEIR_MODEL_PMML_PMML_H
#define WEIR_MODEL_PMML_PMML_H

#include <weir/model.h>

#include "model/pmml/document.h"

WEIR_MUST_USE enum weir_err pmml_load(struct weir_slice bytes, const struct pmml_limits *limits,
                                      struct weir_model **model_out, struct weir_error *error);

#endif
