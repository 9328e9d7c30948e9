/*
 * model/pmml/document.h - an XML document as a tree of elements, within caps.
 *
 * What:    libxml2's push parser (SAX2) fills a tree in one arena: elements with attributes, line
 *          and text. Namespaces must be PMML's (3.0 to 4.4) or none, or that of JPMML's table
 *          cells; elements of any other one, and Extension with all it holds, are left out, but for
 *          an Extension in BayesInputs. Comments and instructions are left out. Any DOCTYPE is
 *          refused, so that there are no entities but XML's own five.
 * Life:    pmml_document_parse -> read -> pmml_document_release. Nothing of it may be kept.
 * Threads: one.
 * Memory:  the document's arena; the input is borrowed for the call.
 * Errors:  PARSE (malformed; DOCTYPE; not PMML), LIMIT (a cap), NOMEM; position = line.
 */
#ifndef WEIR_MODEL_PMML_DOCUMENT_H
#define WEIR_MODEL_PMML_DOCUMENT_H

#include <weir/base.h>

#include "base/arena.h"

enum {
    PMML_ATTRIBUTES_MAX = 64,           /* of one element */
    PMML_ATTRIBUTE_BYTES_MAX = 1 << 16, /* one value */
    PMML_BYTES_PER_BYTE = 16,           /* memory for a byte of the document, at most */
    PMML_BYTES_MIN = 1 << 20,           /* and for the document as such */
};

struct pmml_attribute {
    const char *name;
    const char *value; /* NUL-terminated */
};

/* Text between tags, in the pieces it came in. */
struct pmml_text {
    struct weir_slice text;
    struct pmml_text *next;
};

struct pmml_element {
    const char *name; /* without prefix */
    uint32_t line;
    uint32_t attribute_count;
    const struct pmml_attribute *attributes;
    struct pmml_element *parent, *first, *last, *next;
    uint32_t child_count;
    struct pmml_text *text_first, *text_last;
};

struct pmml_limits {
    size_t bytes_max;
    uint32_t depth_max, elements_max;
    bool verify; /* ModelVerification */
};

struct pmml_document {
    struct weir_arena arena;
    struct pmml_element *root;
};

WEIR_MUST_USE enum weir_err pmml_document_parse(struct weir_slice bytes,
                                                const struct pmml_limits *limits,
                                                struct pmml_document *document,
                                                struct weir_error *error);
void pmml_document_release(struct pmml_document *document);

/* Value of an attribute, or NULL. */
const char *pmml_attribute(const struct pmml_element *element, const char *name);
bool pmml_is(const struct pmml_element *element, const char *name);
/* First child with a name, or NULL. */
const struct pmml_element *pmml_child(const struct pmml_element *element, const char *name);
uint32_t pmml_count(const struct pmml_element *element, const char *name);
/* All text of an element as one slice in the document's arena; null slice: NOMEM. */
struct weir_slice pmml_text(struct pmml_document *document, const struct pmml_element *element);

#endif
