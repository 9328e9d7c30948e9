/*
 * weir/record.h - records as columns: schemas, blocks, decoding and encoding.
 *
 * A block is the one currency of Weir: rows of one topic partition (or of a CSV file), held as
 * columns. Decoders fill it, models read it and give their results as another one, processors
 * pass it on.
 *
 *            key[]  value[]  timestamp[]  offset[]     <- rows as Kafka gave them (borrowed bytes)
 *   row 0     .       .          .           .
 *   row 1     .       .          .           .
 *            col 0 (double)  col 1 (int64) ... col n (string: codes into a dictionary)
 *            + a validity bit per row and column: 0 = missing
 *
 * Life:    weir_schema_* builds a schema (immutable, shared by reference);
 *          weir_block_new -> prepare or reset, fill, read ... -> weir_block_free.
 * Threads: a schema may be shared; a block, a decoder and a dictionary belong to one thread.
 * Memory:  a block allocates when made (capacity rows) and when it is asked for more rows than
 *          ever before; filling and reading never allocate, but for a string that a dictionary sees
 *          for the first time. Row slices borrow from whoever filled them until then.
 * Errors:  enum weir_err; an undecodable row is marked in the block, the rest of it goes on.
 */
#ifndef WEIR_RECORD_H
#define WEIR_RECORD_H

#include <weir/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- limits ---------------------------------------------------------------------------------- */

enum {
    WEIR_FIELDS_MAX = 4096,               /* fields of a schema */
    WEIR_NAME_BYTES_MAX = 255,            /* a field's or schema's name */
    WEIR_BLOCK_ROWS_MAX = 65536,          /* rows of a block */
    WEIR_DICTIONARY_MAX = 1 << 17,        /* distinct strings of a dictionary */
    WEIR_DICTIONARY_BYTES_MAX = 32 << 20, /* all its strings together */
    WEIR_STRING_BYTES_MAX = 64 << 10,     /* one string */
    WEIR_RECORD_BYTES_MAX = 1 << 20,      /* a data record's value */
};

/* ---- schema ---------------------------------------------------------------------------------- */

enum weir_type { WEIR_DOUBLE, WEIR_FLOAT, WEIR_INT64, WEIR_STRING };

struct weir_field {
    const char *name;    /* unique in its schema */
    enum weir_type type; /* the column's */
    uint32_t number;     /* protobuf field number; 0 = none (always for CSV) */
};

/* Immutable, reference counted. */
struct weir_schema;

/* Copies the fields. Errors: INVALID (a name twice, no name), LIMIT, NOMEM. Gives one reference. */
WEIR_MUST_USE enum weir_err weir_schema_new(const char *name, const struct weir_field *fields,
                                            uint32_t field_count, struct weir_schema **schema_out,
                                            struct weir_error *error);
struct weir_schema *weir_schema_ref(struct weir_schema *schema);
void weir_schema_unref(struct weir_schema *schema); /* NULL is allowed */
const char *weir_schema_name(const struct weir_schema *schema);
uint32_t weir_schema_field_count(const struct weir_schema *schema);
/* Borrowed for the schema's life. index < field_count (asserted). */
const struct weir_field *weir_schema_field(const struct weir_schema *schema, uint32_t index);
/*
 * Index of the field called name, or -1. Names match exactly, or else with space, '_', '-' and '.'
 * taken as the same character ("fixed acidity" finds fixed_acidity).
 */
int32_t weir_schema_find(const struct weir_schema *schema, const char *name);

/* The reference's WineRecord: 1-11 double, 12 dataType string, 13 ts int64. Gives a reference. */
WEIR_MUST_USE enum weir_err weir_schema_wine(struct weir_schema **schema_out);

/* ---- dictionary ------------------------------------------------------------------------------ */

/*
 * Strings of one column of one block, numbered from 0 in order of first sight; made and freed with
 * the block. It is kept from one filling of the block to the next, so that a code means the same
 * string until `generation` changes: it begins anew only when the block is prepared and the rows to
 * come might not fit. A string above WEIR_STRING_BYTES_MAX, or for which WEIR_DICTIONARY_BYTES_MAX
 * leaves no room, fails its row with LIMIT.
 */
struct weir_dictionary {
    const struct weir_slice *strings; /* [count], borrowed until generation changes */
    uint32_t count;
    uint64_t generation; /* no two dictionaries of a process ever have the same */
    void *impl;
};

/* ---- block ----------------------------------------------------------------------------------- */

struct weir_header {
    struct weir_slice name, value; /* value.data == NULL: null */
};

/*
 * The rows' Kafka side: arrays of `rows` entries, in offset order. Arrays and slices are borrowed;
 * a block neither writes nor frees them, but for those it owns (weir_block_own_rows). A copy with
 * one array replaced is the way to give results the keys of their records:
 *     out->rows_meta = in->rows_meta; out->rows_meta.value = mine;
 */
struct weir_rows {
    const char *topic; /* NULL for rows that do not come from Kafka */
    int32_t partition;
    int64_t received_ns; /* when the client handed them out, monotonic clock; 0 = unknown */
    const struct weir_slice *key;
    const struct weir_slice *value; /* the undecoded record */
    const int64_t *timestamp_ms;    /* -1 = none */
    const int64_t *offset;          /* CSV: row number from 0 */
    const struct weir_header *const *headers;
    const uint32_t *header_count;
};

struct weir_column {
    union {
        double *f64;
        float *f32;
        int64_t *i64;
        uint32_t *code; /* into dictionary->strings */
    };
    uint64_t *valid;                    /* bit r of word r/64: row r has a value; unused bits 0 */
    struct weir_dictionary *dictionary; /* WEIR_STRING only, else NULL */
    uint32_t valid_count;               /* == rows: none is missing, kernels skip the bits */
    enum weir_type type;
};

/*
 * A missing value's cell holds NaN (double, float), 0 (int64) or UINT32_MAX (string), so that a
 * kernel may read it without asking the bits first.
 * Cells are padded: capacity is a multiple of 64 and columns are aligned to 64 bytes.
 */
struct weir_block {
    struct weir_schema *schema;  /* shared; NULL = no columns */
    struct weir_column *columns; /* [field_count] */
    struct weir_rows rows_meta;
    uint32_t rows;     /* in use */
    uint32_t capacity; /* rows it can hold now */
    uint8_t *status;   /* [rows] enum weir_err: OK, or why the row has no (complete) content */
    uint32_t failed;   /* rows whose status is not OK */
    void *impl;
};

/* schema is shared (takes a reference of its own); NULL = no columns, rows_meta only. capacity <=
 * WEIR_BLOCK_ROWS_MAX. Errors: LIMIT, NOMEM. */
WEIR_MUST_USE enum weir_err weir_block_new(struct weir_schema *schema, uint32_t capacity,
                                           struct weir_block **block_out);
void weir_block_free(struct weir_block *block); /* NULL is allowed */
/*
 * Makes room for `rows` rows: rows is set, every status OK, rows_meta empty (NULL arrays); cells
 * and validity are undefined, for a filler that writes them all (weir_decode does).
 * Errors: LIMIT, NOMEM (the block is then empty but sound).
 */
WEIR_MUST_USE enum weir_err weir_block_prepare(struct weir_block *block, uint32_t rows);
/* The same, and every cell is missing. */
WEIR_MUST_USE enum weir_err weir_block_reset(struct weir_block *block, uint32_t rows);
/* The arrays of rows_meta, to be written to. */
struct weir_own_rows {
    struct weir_slice *key, *value;
    int64_t *timestamp_ms, *offset;
    const struct weir_header **headers;
    uint32_t *header_count;
};
/* Points rows_meta at arrays of the block's own for its rows (null slices, timestamp -1, offset =
 * row, no topic) and gives them out for writing; out may be NULL. Errors: NOMEM. */
WEIR_MUST_USE enum weir_err weir_block_own_rows(struct weir_block *block,
                                                struct weir_own_rows *out);

static inline bool weir_column_is_valid(const struct weir_column *column, uint32_t row)
{
    return (column->valid[row >> 6] >> (row & 63)) & 1;
}

/* Set one cell (row < rows, asserted) and its validity. For CSV readers and tests; decoders write
 * columns directly. */
void weir_block_set_double(struct weir_block *block, uint32_t column, uint32_t row, double value);
void weir_block_set_float(struct weir_block *block, uint32_t column, uint32_t row, float value);
void weir_block_set_int64(struct weir_block *block, uint32_t column, uint32_t row, int64_t value);
/* Copies the bytes into the column's dictionary if they are new. Errors: LIMIT, NOMEM. */
WEIR_MUST_USE enum weir_err weir_block_set_string(struct weir_block *block, uint32_t column,
                                                  uint32_t row, struct weir_slice value);
/* The string of a cell, borrowed from the dictionary; null slice when missing. */
struct weir_slice weir_block_string(const struct weir_block *block, uint32_t column, uint32_t row);
/* Marks a row as failed (once; later calls for the same row keep the first reason). */
void weir_block_fail_row(struct weir_block *block, uint32_t row, enum weir_err why);

/* ---- decoding -------------------------------------------------------------------------------- */

/*
 * A decoder turns rows_meta.value[] of a block into its columns. It is made for one schema and
 * compiled once (a table by field number for protobuf).
 */
struct weir_decoder;

/*
 * Protobuf (proto3) by table: unknown fields are skipped, an absent scalar is its default (0, "")
 * and valid, as proto3 says; a repeated occurrence overwrites. A field whose wire type contradicts
 * the schema, a truncated or overlong varint, a length beyond the record, field number 0 or a group
 * fails the row with PARSE or TRUNCATED, a value above WEIR_RECORD_BYTES_MAX with LIMIT, a null
 * value with PARSE.
 * Source of the format: protobuf.dev, "Encoding".
 */
WEIR_MUST_USE enum weir_err weir_decoder_protobuf_new(struct weir_schema *schema,
                                                      struct weir_decoder **decoder_out,
                                                      struct weir_error *error);
void weir_decoder_free(struct weir_decoder *decoder);                        /* NULL is allowed */
struct weir_schema *weir_decoder_schema(const struct weir_decoder *decoder); /* borrowed */
/*
 * Decodes every row of the block (made with the decoder's schema and prepared; rows_meta.value
 * filled). Rows that can't be decoded get a status and count in block->failed; their cells are
 * missing. Never allocates except for new dictionary strings. Returns WEIR_OK, or NOMEM.
 */
WEIR_MUST_USE enum weir_err weir_decode(struct weir_decoder *decoder, struct weir_block *block);
/* Says in words what is wrong with one record, for a dead letter: decodes it again, slowly. The
 * code is the one that weir_decode gave its row, position the byte where it went wrong. */
enum weir_err weir_decode_explain(struct weir_decoder *decoder, struct weir_slice value,
                                  struct weir_error *error);

/* Appends row `row` of the block as protobuf bytes (fields with a number, missing ones left out) to
 * a caller's buffer. *bytes_out = bytes written. Errors: LIMIT (capacity too small). */
WEIR_MUST_USE enum weir_err weir_encode_protobuf(const struct weir_block *block, uint32_t row,
                                                 void *buffer, size_t capacity, size_t *bytes_out);

/* ---- the messages of the model server -------------------------------------------------------- */

/* ModelDescriptor, byte-compatible with the reference system; see docs/formats/messages.md. */
enum weir_descriptor_type { WEIR_DESCRIPTOR_TENSORFLOW = 0, WEIR_DESCRIPTOR_PMML = 1 };
enum weir_descriptor_action { WEIR_DESCRIPTOR_ADD = 0, WEIR_DESCRIPTOR_ACTIVATE = 1 };

struct weir_descriptor {
    struct weir_slice name, description, data_type; /* 1, 2, 3 */
    int32_t model_type;                             /* 4: enum weir_descriptor_type or unknown */
    struct weir_slice data;                         /* 5: null unless given */
    struct weir_slice location;                     /* 6: null unless given */
    struct weir_slice version;                      /* 16 */
    struct weir_slice sha256;                       /* 17: null or 32 bytes */
    int32_t action;                                 /* 18: enum weir_descriptor_action or unknown */
};

/* Slices borrow from bytes. Errors: PARSE, TRUNCATED with the byte's position. */
WEIR_MUST_USE enum weir_err weir_descriptor_decode(struct weir_slice bytes,
                                                   struct weir_descriptor *out,
                                                   struct weir_error *error);
/* Bytes that encode will write. */
size_t weir_descriptor_bytes(const struct weir_descriptor *descriptor);
/* buffer holds at least weir_descriptor_bytes. Returns bytes written. */
size_t weir_descriptor_encode(const struct weir_descriptor *descriptor, void *buffer);

/* ScoringResult: what the scores topic carries. Field numbers in docs/formats/messages.md. */
enum weir_result_kind { WEIR_RESULT_NUMBER, WEIR_RESULT_LABEL, WEIR_RESULT_ERROR };

struct weir_result {
    enum weir_result_kind kind;
    double number;                   /* 2 */
    struct weir_slice label;         /* 3 */
    enum weir_err error;             /* 4.code, as the name of the code */
    struct weir_slice error_message; /* 4.message */
    struct weir_slice data_type;     /* 5 */
    struct weir_slice model;         /* 6 */
    struct weir_slice digest;        /* 7: 32 bytes, or null without a model */
    struct weir_slice version;       /* 14: only if the publisher gave one, else null */
    int32_t model_partition;         /* 8.partition */
    int64_t model_offset;            /* 8.offset; -1 = no model */
    struct weir_slice source_topic;  /* 9 */
    int32_t source_partition;        /* 10 */
    int64_t source_offset;           /* 11 */
    int64_t queue_ns, score_ns;      /* 12, 13 */
};

enum { WEIR_RESULT_BYTES_MAX = 4096 };
/* Returns bytes written. capacity >= WEIR_RESULT_BYTES_MAX (asserted), which is always enough:
 * names, label and message are cut to 512 bytes each, at a character's end. Does not allocate. */
size_t weir_result_encode(const struct weir_result *result, void *buffer, size_t capacity);
/*
 * For many results that differ only in value, source_offset and queue_ns: `common` encodes the rest
 * once, `row` puts one result together from it. Together they give what weir_result_encode gives
 * but for the order of fields. Capacity as above; at most `common` + WEIR_RESULT_ROW_BYTES_MAX a
 * row.
 */
enum { WEIR_RESULT_ROW_BYTES_MAX = 1280 };
size_t weir_result_encode_common(const struct weir_result *result, void *buffer, size_t capacity);
size_t weir_result_encode_row(const struct weir_result *result, struct weir_slice common,
                              void *buffer, size_t capacity);
/* Slices borrow from bytes. Errors: PARSE, TRUNCATED, OTHER_VERSION (format is not 1). */
WEIR_MUST_USE enum weir_err weir_result_decode(struct weir_slice bytes, struct weir_result *out,
                                               struct weir_error *error);

/* ---- CSV ------------------------------------------------------------------------------------- */

struct weir_csv_options {
    char delimiter;           /* 0 = ',' */
    const char *const *names; /* of the fields, without a header row; NULL = it has one */
    uint32_t name_count;
    const char *const *missing; /* further cells that mean missing; an empty cell always does */
    uint32_t missing_count;
};

/* Reads a delimited file (RFC 4180 quoting, LF or CRLF, UTF-8) block by block; all its columns are
 * strings, so that the model's own field types decide how a cell is parsed. The dictionaries begin
 * anew with each block. */
struct weir_csv_reader;

/* path "-" = standard input. Errors: NOT_FOUND, DENIED, IO, PARSE (header), LIMIT. */
WEIR_MUST_USE enum weir_err weir_csv_open(const char *path, const struct weir_csv_options *options,
                                          struct weir_csv_reader **reader_out,
                                          struct weir_error *error);
struct weir_schema *weir_csv_schema(const struct weir_csv_reader *reader); /* borrowed */
/* Fills up to block->capacity rows. END when nothing is left (rows == 0). A row with another number
 * of cells gets status PARSE; an unterminated quote ends the reading with PARSE and the line. */
WEIR_MUST_USE enum weir_err weir_csv_read(struct weir_csv_reader *reader, struct weir_block *block,
                                          struct weir_error *error);
/* Line of the file (from 1) where row `row` of the last block begins. */
int64_t weir_csv_line(const struct weir_csv_reader *reader, uint32_t row);
uint64_t weir_csv_bytes_read(const struct weir_csv_reader *reader);  /* for progress */
uint64_t weir_csv_bytes_total(const struct weir_csv_reader *reader); /* 0 = unknown (a pipe) */
void weir_csv_close(struct weir_csv_reader *reader);

#ifdef __cplusplus
}
#endif
#endif
