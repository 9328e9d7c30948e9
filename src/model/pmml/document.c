#include "model/pmml/document.h"

#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <string.h>

/*
 * The handler's state. After the first failure nothing more is recorded, and the parser gets no
 * further piece of the document; it is not stopped from inside a handler, for that frees the text
 * which the handler is reading (but for a DOCTYPE, where it must be stopped).
 * skip_depth > 0: inside an element that is left out.
 */
struct reader {
    struct pmml_document *document;
    const struct pmml_limits *limits;
    struct weir_error *error;
    xmlParserCtxtPtr parser;
    struct pmml_element *current;
    uint32_t depth, skip_depth, element_count;
    enum weir_err err;
};

static void fail(struct reader *reader, enum weir_err err, const char *what)
{
    if (reader->err == WEIR_OK) {
        int line = xmlSAX2GetLineNumber(reader->parser);
        reader->err = weir_error_set(reader->error, err, line, "line %d: %s", line, what);
    }
}

static void *allocate(struct reader *reader, size_t bytes)
{
    void *memory = weir_arena_alloc(&reader->document->arena, bytes);
    if (memory == NULL) {
        fail(reader, WEIR_NOMEM, "out of memory");
    }
    return memory;
}

static char *copy(struct reader *reader, const void *text, size_t bytes)
{
    char *to = allocate(reader, bytes + 1);
    if (to != NULL) {
        memcpy(to, text, bytes);
        to[bytes] = '\0';
    }
    return to;
}

static bool is_pmml_namespace(const xmlChar *uri)
{
    const char *text = (const char *)uri;
    if (text == NULL) {
        return true;
    }
    if (strcmp(text, "http://jpmml.org/jpmml-model/InlineTable") == 0) {
        return true; /* cells of tables in files that JPMML's converters write */
    }
    static const char plain[] = "http://www.dmg.org/PMML-";
    static const char secure[] = "https://www.dmg.org/PMML-";
    bool is_secure = strncmp(text, secure, sizeof secure - 1) == 0;
    if (!is_secure && strncmp(text, plain, sizeof plain - 1) != 0) {
        return false;
    }
    const char *version = text + (is_secure ? sizeof secure : sizeof plain) - 1;
    bool known = (version[0] == '3' || version[0] == '4') && version[1] == '_' &&
                 version[2] >= '0' && version[2] <= '4' && version[3] == '\0';
    return known;
}

/* libxml2 gives five pointers an attribute: local name, prefix, URI, value, end of value. */
static void read_attributes(struct reader *reader, struct pmml_element *element,
                            const xmlChar **given, int count)
{
    if (count > PMML_ATTRIBUTES_MAX) {
        fail(reader, WEIR_LIMIT, "an element has too many attributes");
        return;
    }
    struct pmml_attribute *attributes = allocate(reader, (size_t)count * sizeof *attributes);
    if (attributes == NULL) {
        return;
    }
    uint32_t kept = 0;
    for (int i = 0; i < count; i++, given += 5) {
        size_t bytes = (size_t)(given[4] - given[3]);
        if (given[2] != NULL) {
            continue; /* xsi:schemaLocation and its like */
        }
        if (bytes > PMML_ATTRIBUTE_BYTES_MAX) {
            fail(reader, WEIR_LIMIT, "an attribute is too long");
            return;
        }
        attributes[kept].name = copy(reader, given[0], strlen((const char *)given[0]));
        attributes[kept].value = copy(reader, given[3], bytes);
        if (reader->err != WEIR_OK) {
            return;
        }
        kept++;
    }
    element->attributes = attributes;
    element->attribute_count = kept;
}

static void append_child(struct pmml_element *parent, struct pmml_element *child)
{
    child->parent = parent;
    if (parent->last == NULL) {
        parent->first = child;
    } else {
        parent->last->next = child;
    }
    parent->last = child;
    parent->child_count++;
}

/* 4.1 has its continuous BayesInputs in Extensions; they are no addition, but part of the model. */
static bool is_left_out(const struct reader *reader, const char *name)
{
    return strcmp(name, "Extension") == 0 &&
           (reader->current == NULL || strcmp(reader->current->name, "BayesInputs") != 0);
}

/* Counts the element against the caps; false: it is left out, or the document is refused. */
static bool admit(struct reader *reader, const xmlChar *name, const xmlChar *uri)
{
    if (reader->err != WEIR_OK) {
        return false;
    }
    if (++reader->depth > reader->limits->depth_max) {
        fail(reader, WEIR_LIMIT, "elements are nested too deep");
        return false;
    }
    if (++reader->element_count > reader->limits->elements_max) {
        fail(reader, WEIR_LIMIT, "the document has too many elements");
        return false;
    }
    if (reader->skip_depth > 0 || is_left_out(reader, (const char *)name) ||
        !is_pmml_namespace(uri)) {
        if (reader->depth == 1) {
            fail(reader, WEIR_PARSE, "the document is not PMML 3.0 to 4.4");
        }
        reader->skip_depth++;
        return false;
    }
    return true;
}

static void on_start(void *opaque, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri,
                     int namespace_count, const xmlChar **namespaces, int attribute_count,
                     int defaulted, const xmlChar **attributes)
{
    (void)prefix;
    (void)namespace_count;
    (void)namespaces;
    (void)defaulted;
    struct reader *reader = ((xmlParserCtxtPtr)opaque)->_private;
    if (!admit(reader, name, uri)) {
        return;
    }
    struct pmml_element *element = allocate(reader, sizeof *element);
    if (element == NULL) {
        return;
    }
    memset(element, 0, sizeof *element);
    element->name = copy(reader, name, strlen((const char *)name));
    element->line = (uint32_t)xmlSAX2GetLineNumber(reader->parser);
    read_attributes(reader, element, attributes, attribute_count);
    if (reader->err != WEIR_OK) {
        return;
    }
    if (reader->current != NULL) {
        append_child(reader->current, element);
    } else if (reader->document->root == NULL) {
        reader->document->root = element;
    }
    reader->current = element;
}

static void on_end(void *opaque, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri)
{
    (void)name;
    (void)prefix;
    (void)uri;
    struct reader *reader = ((xmlParserCtxtPtr)opaque)->_private;
    if (reader->err != WEIR_OK) {
        return;
    }
    reader->depth--;
    if (reader->skip_depth > 0) {
        reader->skip_depth--;
    } else {
        reader->current = reader->current->parent;
    }
}

/* Keeps text that is more than blanks, or follows such text. */
static void on_text(void *opaque, const xmlChar *text, int bytes)
{
    struct reader *reader = ((xmlParserCtxtPtr)opaque)->_private;
    struct pmml_element *element = reader->current;
    if (reader->err != WEIR_OK || reader->skip_depth > 0 || element == NULL || bytes <= 0) {
        return;
    }
    int blanks = 0;
    while (blanks < bytes && memchr(" \t\r\n", text[blanks], 4) != NULL) {
        blanks++;
    }
    if (element->text_first == NULL && blanks == bytes) {
        return;
    }
    struct pmml_text *piece = allocate(reader, sizeof *piece);
    char *data = piece != NULL ? copy(reader, text, (size_t)bytes) : NULL;
    if (data == NULL) {
        return;
    }
    *piece = (struct pmml_text){weir_slice(data, (size_t)bytes), NULL};
    if (element->text_last == NULL) {
        element->text_first = piece;
    } else {
        element->text_last->next = piece;
    }
    element->text_last = piece;
}

static void on_doctype(void *opaque, const xmlChar *name, const xmlChar *external,
                       const xmlChar *system)
{
    (void)name;
    (void)external;
    (void)system;
    struct reader *reader = ((xmlParserCtxtPtr)opaque)->_private;
    fail(reader, WEIR_PARSE, "a DOCTYPE is not allowed: models come without entities");
    xmlStopParser(reader->parser); /* before it expands entities; nothing is read behind this */
}

/* libxml2 reports here what makes the document malformed; the message ends with a newline. */
static void on_error(void *opaque, xmlErrorPtr problem)
{
    struct reader *reader = ((xmlParserCtxtPtr)opaque)->_private;
    if (problem == NULL || problem->level < XML_ERR_ERROR || reader->err != WEIR_OK) {
        return;
    }
    if (problem->code == XML_ERR_NO_MEMORY) {
        fail(reader, WEIR_NOMEM, "out of memory");
        return;
    }
    char text[160];
    const char *message = problem->message != NULL ? problem->message : "malformed XML";
    size_t bytes = strcspn(message, "\n");
    bytes = bytes < sizeof text ? bytes : sizeof text - 1;
    memcpy(text, message, bytes);
    text[bytes] = '\0';
    fail(reader, WEIR_PARSE, text);
}

/* Feeds the parser piecewise, so that a refusal near the top does not read the rest. */
static void feed(struct reader *reader, struct weir_slice bytes)
{
    enum { PIECE = 1 << 16 };
    const char *at = bytes.data;
    size_t left = bytes.bytes;
    while (left > 0 && reader->err == WEIR_OK) {
        size_t piece = left < PIECE ? left : PIECE;
        xmlParseChunk(reader->parser, at, (int)piece, 0);
        at += piece;
        left -= piece;
    }
    if (reader->err == WEIR_OK) {
        xmlParseChunk(reader->parser, NULL, 0, 1);
    }
    if (reader->err == WEIR_OK && (reader->parser->wellFormed == 0 || reader->current != NULL)) {
        fail(reader, WEIR_PARSE, "the document is not well-formed");
    }
    if (reader->err == WEIR_OK && reader->document->root == NULL) {
        fail(reader, WEIR_PARSE, "the document holds no element");
    }
}

enum weir_err pmml_document_parse(struct weir_slice bytes, const struct pmml_limits *limits,
                                  struct pmml_document *document, struct weir_error *error)
{
    *document = (struct pmml_document){.root = NULL};
    if (bytes.bytes > limits->bytes_max) {
        return weir_error_set(error, WEIR_LIMIT, -1, "the document is larger than %zu bytes",
                              limits->bytes_max);
    }
    xmlSAXHandler handler = {
        .initialized = XML_SAX2_MAGIC,
        .startElementNs = on_start,
        .endElementNs = on_end,
        .characters = on_text,
        .cdataBlock = on_text,
        .internalSubset = on_doctype,
        .serror = on_error,
    };
    weir_arena_init(&document->arena, PMML_BYTES_PER_BYTE * limits->bytes_max + PMML_BYTES_MIN);
    struct reader reader = {.document = document, .limits = limits, .error = error};
    reader.parser = xmlCreatePushParserCtxt(&handler, NULL, NULL, 0, NULL);
    if (reader.parser == NULL) {
        weir_arena_release(&document->arena);
        return weir_error_set(error, WEIR_NOMEM, -1, "out of memory");
    }
    reader.parser->_private = &reader;
    xmlCtxtUseOptions(reader.parser, XML_PARSE_NONET | XML_PARSE_HUGE);
    feed(&reader, bytes);
    xmlFreeDoc(reader.parser->myDoc); /* made for a DOCTYPE, though nobody asked for a tree */
    reader.parser->myDoc = NULL;
    xmlFreeParserCtxt(reader.parser);
    if (reader.err != WEIR_OK) {
        pmml_document_release(document);
    }
    return reader.err;
}

void pmml_document_release(struct pmml_document *document)
{
    weir_arena_release(&document->arena);
    document->root = NULL;
}

const char *pmml_attribute(const struct pmml_element *element, const char *name)
{
    for (uint32_t i = 0; i < element->attribute_count; i++) {
        if (strcmp(element->attributes[i].name, name) == 0) {
            return element->attributes[i].value;
        }
    }
    return NULL;
}

bool pmml_is(const struct pmml_element *element, const char *name)
{
    return strcmp(element->name, name) == 0;
}

const struct pmml_element *pmml_child(const struct pmml_element *element, const char *name)
{
    const struct pmml_element *child = element->first;
    while (child != NULL && !pmml_is(child, name)) {
        child = child->next;
    }
    return child;
}

uint32_t pmml_count(const struct pmml_element *element, const char *name)
{
    uint32_t count = 0;
    for (const struct pmml_element *c = element->first; c != NULL; c = c->next) {
        count += pmml_is(c, name);
    }
    return count;
}

struct weir_slice pmml_text(struct pmml_document *document, const struct pmml_element *element)
{
    size_t bytes = 0;
    for (const struct pmml_text *t = element->text_first; t != NULL; t = t->next) {
        bytes += t->text.bytes;
    }
    char *data = weir_arena_alloc(&document->arena, bytes + 1);
    if (data == NULL) {
        return weir_slice(NULL, 0);
    }
    size_t at = 0;
    for (const struct pmml_text *t = element->text_first; t != NULL; t = t->next) {
        memcpy(data + at, t->text.data, t->text.bytes);
        at += t->text.bytes;
    }
    data[bytes] = '\0';
    return weir_slice(data, bytes);
}
