/*
 * record/decoder.c - protobuf records into columns, by a table made once for a schema.
 *
 * The table has an entry for each of the 128 one-byte tags (field numbers up to 15); records whose
 * fields all lie there are decoded with one look-up a field. Larger tags go the long way.
 *
 * Writers put fields in order of their numbers, so the doubles a record may begin with are first
 * looked for in that order, without the table; what comes otherwise still finds its entry.
 *
 * A proto3 scalar that is absent is its default: doubles get theirs on that first pass, any other
 * column is filled with defaults before its rows are decoded. All of them are valid; a row that
 * turns out undecodable is made missing again.
 */
#include <weir/record.h>

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "record/dictionary.h"
#include "record/protobuf.h"

enum { TAG_TABLE = 128 };

/* What to do with the value behind a tag. */
enum action {
    TAG_LONG, /* more than one byte, or not a tag at all: take the long way */
    TAG_UNKNOWN,
    TAG_WRONG_WIRE, /* a field of ours with another wire type */
    TAG_DOUBLE,
    TAG_FLOAT,
    TAG_INT64,
    TAG_STRING,
};

struct tag_entry {
    uint8_t action; /* enum action */
    uint8_t wire;   /* enum pb_wire */
    uint16_t column;
};

/* A double with a one-byte tag. */
struct expected_double {
    uint8_t tag;
    uint16_t column;
};

struct weir_decoder {
    struct weir_schema *schema;
    struct tag_entry table[TAG_TABLE];
    struct expected_double expected[TAG_TABLE / 8]; /* by field number */
    uint32_t expected_count;
    uint32_t field_count;
    uint32_t *empty_code; /* [field_count] code of "" in the block's dictionaries */
};

static enum pb_wire wire_of(enum weir_type type)
{
    static const enum pb_wire wires[] = {[WEIR_DOUBLE] = PB_FIXED64,
                                         [WEIR_FLOAT] = PB_FIXED32,
                                         [WEIR_INT64] = PB_VARINT,
                                         [WEIR_STRING] = PB_BYTES};
    return wires[type];
}

static enum action action_of(enum weir_type type)
{
    static const enum action actions[] = {[WEIR_DOUBLE] = TAG_DOUBLE,
                                          [WEIR_FLOAT] = TAG_FLOAT,
                                          [WEIR_INT64] = TAG_INT64,
                                          [WEIR_STRING] = TAG_STRING};
    return actions[type];
}

/* What a tag means to this schema. */
static struct tag_entry entry_of(const struct weir_schema *schema, uint32_t field,
                                 enum pb_wire wire)
{
    uint32_t count = weir_schema_field_count(schema);
    for (uint32_t i = 0; i < count; i++) {
        const struct weir_field *known = weir_schema_field(schema, i);
        if (known->number != field)
            continue;
        bool fits = wire == wire_of(known->type);
        return (struct tag_entry){.action =
                                      (uint8_t)(fits ? action_of(known->type) : TAG_WRONG_WIRE),
                                  .wire = (uint8_t)wire,
                                  .column = (uint16_t)i};
    }
    return (struct tag_entry){.action = TAG_UNKNOWN, .wire = (uint8_t)wire};
}

static void fill_table(struct weir_decoder *decoder)
{
    for (uint32_t tag = 0; tag < TAG_TABLE; tag++) {
        unsigned wire = tag & 7;
        bool known =
            wire == PB_VARINT || wire == PB_FIXED64 || wire == PB_BYTES || wire == PB_FIXED32;
        if (!known || tag >> 3 == 0)
            continue;
        struct tag_entry entry = entry_of(decoder->schema, tag >> 3, (enum pb_wire)wire);
        decoder->table[tag] = entry;
        if (entry.action == TAG_DOUBLE)
            decoder->expected[decoder->expected_count++] =
                (struct expected_double){.tag = (uint8_t)tag, .column = entry.column};
    }
}

enum weir_err weir_decoder_protobuf_new(struct weir_schema *schema,
                                        struct weir_decoder **decoder_out, struct weir_error *error)
{
    uint32_t count = weir_schema_field_count(schema);
    for (uint32_t i = 0; i < count; i++) {
        const struct weir_field *field = weir_schema_field(schema, i);
        if (field->number == 0 || field->number >= 1u << 29)
            return weir_error_set(error, WEIR_INVALID, i,
                                  "schema %s: field %s needs a protobuf number from 1 to 536870911",
                                  weir_schema_name(schema), field->name);
        for (uint32_t j = 0; j < i; j++)
            if (weir_schema_field(schema, j)->number == field->number)
                return weir_error_set(error, WEIR_INVALID, i, "schema %s: number %u is there twice",
                                      weir_schema_name(schema), field->number);
    }
    struct weir_decoder *decoder = weir_calloc(1, sizeof *decoder);
    if (decoder)
        decoder->empty_code = weir_calloc(count, sizeof *decoder->empty_code);
    if (!decoder || !decoder->empty_code) {
        weir_free(decoder);
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a decoder");
    }
    decoder->schema = weir_schema_ref(schema);
    decoder->field_count = count;
    fill_table(decoder);
    *decoder_out = decoder;
    return WEIR_OK;
}

void weir_decoder_free(struct weir_decoder *decoder)
{
    if (!decoder)
        return;
    weir_schema_unref(decoder->schema);
    weir_free(decoder->empty_code);
    weir_free(decoder);
}

struct weir_schema *weir_decoder_schema(const struct weir_decoder *decoder)
{
    return decoder->schema;
}

/* ---- decoding -------------------------------------------------------------------------------- */

/* A new string; UTF-8 is looked at once for each distinct one. */
static enum weir_err add_string(struct weir_column *column, uint32_t row, struct weir_slice string)
{
    uint32_t guess = row ? column->code[row - 1] : 0;
    if (dictionary_is(column->dictionary, guess, string)) {
        column->code[row] = guess;
        return WEIR_OK;
    }
    if (!pb_utf8_valid(string))
        return WEIR_PARSE;
    return dictionary_add(column->dictionary, string, &column->code[row]);
}

/* The value of one field into its column. */
static inline enum weir_err read_value(struct weir_column *columns, struct tag_entry entry,
                                       uint32_t row, struct pb_cursor *cursor)
{
    struct weir_column *column = &columns[entry.column];
    struct weir_slice string;
    uint64_t wide;
    enum weir_err err;
    switch ((enum action)entry.action) {
    case TAG_DOUBLE:
        if (cursor->end - cursor->at < 8)
            return WEIR_TRUNCATED;
        memcpy(&column->f64[row], cursor->at, 8);
        cursor->at += 8;
        return WEIR_OK;
    case TAG_FLOAT:
        if (cursor->end - cursor->at < 4)
            return WEIR_TRUNCATED;
        memcpy(&column->f32[row], cursor->at, 4);
        cursor->at += 4;
        return WEIR_OK;
    case TAG_INT64:
        err = pb_read_varint(cursor, &wide);
        if (err == WEIR_OK)
            column->i64[row] = (int64_t)wide;
        return err;
    case TAG_STRING:
        err = pb_read_bytes(cursor, &string);
        return err == WEIR_OK ? add_string(column, row, string) : err;
    case TAG_UNKNOWN:
        return pb_skip(cursor, (enum pb_wire)entry.wire);
    case TAG_WRONG_WIRE:
    case TAG_LONG:
        break;
    }
    return WEIR_PARSE;
}

/* The doubles that stand next in the record, in order of their numbers; 0 for those that don't. */
static inline void read_expected(const struct weir_decoder *decoder, struct weir_column *columns,
                                 uint32_t row, struct pb_cursor *cursor)
{
    const uint8_t *at = cursor->at;
    for (uint32_t i = 0; i < decoder->expected_count; i++) {
        struct expected_double expected = decoder->expected[i];
        double value = 0;
        if (cursor->end - at >= 9 && *at == expected.tag) {
            memcpy(&value, at + 1, 8);
            at += 9;
        }
        columns[expected.column].f64[row] = value;
    }
    cursor->at = at;
}

static enum weir_err decode_row(const struct weir_decoder *decoder, struct weir_column *columns,
                                uint32_t row, struct pb_cursor *cursor)
{
    read_expected(decoder, columns, row, cursor);
    while (cursor->at < cursor->end) {
        struct tag_entry entry = {.action = TAG_LONG};
        enum weir_err err;
        if (*cursor->at < TAG_TABLE)
            entry = decoder->table[*cursor->at];
        if (entry.action != TAG_LONG) {
            cursor->at++;
        } else {
            uint32_t field = 0;
            enum pb_wire wire;
            err = pb_read_tag(cursor, &field, &wire);
            if (err != WEIR_OK)
                return err;
            entry = entry_of(decoder->schema, field, wire);
        }
        err = read_value(columns, entry, row, cursor);
        if (err != WEIR_OK)
            return err;
    }
    return WEIR_OK;
}

/* True for a column whose every cell read_expected writes. */
static bool is_expected(const struct weir_decoder *decoder, uint32_t column)
{
    uint32_t number = weir_schema_field(decoder->schema, column)->number;
    return number < TAG_TABLE / 8 && decoder->table[number << 3 | PB_FIXED64].action == TAG_DOUBLE;
}

/* Every cell valid, and the default of proto3 unless it is written in any case. */
static enum weir_err fill_defaults(struct weir_decoder *decoder, struct weir_block *block)
{
    uint32_t rows = block->rows, words = rows / 64, rest = rows % 64;
    for (uint32_t i = 0; i < decoder->field_count; i++) {
        struct weir_column *column = &block->columns[i];
        memset(column->valid, 0xff, words * sizeof *column->valid);
        if (rest)
            column->valid[words] = (UINT64_C(1) << rest) - 1;
        column->valid_count = rows;
        if (column->type == WEIR_STRING) {
            enum weir_err err =
                dictionary_add(column->dictionary, weir_slice("", 0), &decoder->empty_code[i]);
            if (err != WEIR_OK)
                return err;
            for (uint32_t row = 0; row < rows; row++)
                column->code[row] = decoder->empty_code[i];
        } else if (!is_expected(decoder, i)) {
            memset(column->f64, 0, rows * (column->type == WEIR_FLOAT ? 4u : 8u));
        }
    }
    return WEIR_OK;
}

/* Takes back what was written of a row that can't be decoded. */
static void clear_row(struct weir_decoder *decoder, struct weir_block *block, uint32_t row)
{
    for (uint32_t i = 0; i < decoder->field_count; i++) {
        struct weir_column *column = &block->columns[i];
        column->valid[row / 64] &= ~(UINT64_C(1) << (row % 64));
        column->valid_count--;
        switch (column->type) {
        case WEIR_DOUBLE:
            column->f64[row] = (double)NAN;
            break;
        case WEIR_FLOAT:
            column->f32[row] = NAN;
            break;
        case WEIR_INT64:
            column->i64[row] = 0;
            break;
        case WEIR_STRING:
            column->code[row] = UINT32_MAX;
            break;
        }
    }
}

static enum weir_err check_value(struct weir_slice value)
{
    if (!value.data)
        return WEIR_PARSE;
    return value.bytes > WEIR_RECORD_BYTES_MAX ? WEIR_LIMIT : WEIR_OK;
}

enum weir_err weir_decode(struct weir_decoder *decoder, struct weir_block *block)
{
    weir_assert(block->schema == decoder->schema);
    enum weir_err err = fill_defaults(decoder, block);
    if (err != WEIR_OK)
        return err;
    for (uint32_t row = 0; row < block->rows; row++) {
        struct weir_slice value = block->rows_meta.value[row];
        struct pb_cursor cursor = pb_cursor(value);
        err = check_value(value);
        if (err == WEIR_OK)
            err = decode_row(decoder, block->columns, row, &cursor);
        if (err == WEIR_NOMEM)
            return err;
        if (err != WEIR_OK) {
            clear_row(decoder, block, row);
            weir_block_fail_row(block, row, err);
        }
    }
    return WEIR_OK;
}

/* ---- explaining ------------------------------------------------------------------------------ */

/* Reads one field of a bad record; names it when it is the culprit. */
static enum weir_err explain_field(struct weir_decoder *decoder, struct pb_cursor *cursor,
                                   int64_t position, struct weir_error *error)
{
    uint32_t field = 0;
    enum pb_wire wire;
    struct weir_slice string = weir_slice(NULL, 0);
    enum weir_err err = pb_read_tag(cursor, &field, &wire);
    if (err != WEIR_OK)
        return weir_error_set(error, err, position, "byte %lld: %s", (long long)position,
                              err == WEIR_TRUNCATED ? "the record ends inside a tag"
                                                    : "not a protobuf tag");
    struct tag_entry entry = entry_of(decoder->schema, field, wire);
    const char *name = entry.action == TAG_UNKNOWN
                           ? "an unknown field"
                           : weir_schema_field(decoder->schema, entry.column)->name;
    if (entry.action == TAG_WRONG_WIRE)
        return weir_error_set(
            error, WEIR_PARSE, position,
            "byte %lld: field %u (%s) has wire type %d, which contradicts its type",
            (long long)position, field, name, (int)wire);
    err = wire == PB_BYTES ? pb_read_bytes(cursor, &string) : pb_skip(cursor, wire);
    if (err != WEIR_OK)
        return weir_error_set(
            error, err, position, "byte %lld: field %u (%s) %s", (long long)position, field, name,
            err == WEIR_TRUNCATED ? "runs over the end of the record" : "has a malformed value");
    if (entry.action != TAG_STRING)
        return WEIR_OK;
    if (!pb_utf8_valid(string))
        return weir_error_set(error, WEIR_PARSE, position, "byte %lld: field %u (%s) is not UTF-8",
                              (long long)position, field, name);
    if (string.bytes > WEIR_STRING_BYTES_MAX)
        return weir_error_set(error, WEIR_LIMIT, position,
                              "byte %lld: field %u (%s) has %zu bytes; at most %d are taken",
                              (long long)position, field, name, string.bytes,
                              WEIR_STRING_BYTES_MAX);
    return WEIR_OK;
}

enum weir_err weir_decode_explain(struct weir_decoder *decoder, struct weir_slice value,
                                  struct weir_error *error)
{
    struct pb_cursor cursor = pb_cursor(value);
    if (!value.data)
        return weir_error_set(error, WEIR_PARSE, -1, "the record has no value (null)");
    if (value.bytes > WEIR_RECORD_BYTES_MAX)
        return weir_error_set(error, WEIR_LIMIT, -1,
                              "the record has %zu bytes; at most %d are taken", value.bytes,
                              WEIR_RECORD_BYTES_MAX);
    while (cursor.at < cursor.end) {
        int64_t position = cursor.at - (const uint8_t *)value.data;
        enum weir_err err = explain_field(decoder, &cursor, position, error);
        if (err != WEIR_OK)
            return err;
    }
    return weir_error_set(error, WEIR_LIMIT, -1,
                          "the strings of its batch are over %d bytes together",
                          WEIR_DICTIONARY_BYTES_MAX);
}
