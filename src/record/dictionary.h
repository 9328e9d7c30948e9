/*
 * record/dictionary.h - the distinct strings of a column, numbered in order of first sight.
 *
 * Life:    dictionary_new -> dictionary_open (before each block) -> dictionary_code ... -> free.
 * Threads: one.
 * Memory:  strings are copied; ceilings below. A dictionary begins anew (generation + 1) only in
 *          dictionary_open, so that the codes of a block hold while it is filled.
 * Errors:  LIMIT (a string that is too long, or more bytes than the ceiling), NOMEM.
 */
#ifndef RECORD_DICTIONARY_H
#define RECORD_DICTIONARY_H

#include <string.h>

#include <weir/record.h>

enum weir_err dictionary_new(struct weir_dictionary **out);
void dictionary_free(struct weir_dictionary *dictionary);
/* Before a block of `rows` rows is filled: begins anew when so many new strings might not fit. */
void dictionary_open(struct weir_dictionary *dictionary, uint32_t rows);
/* Begins anew. */
void dictionary_clear(struct weir_dictionary *dictionary);
/* Looks the string up, and adds it if need be. */
enum weir_err dictionary_add(struct weir_dictionary *dictionary, struct weir_slice string,
                             uint32_t *code_out);
/* True when code stands for the string: the guess that saves most look-ups. */
static inline bool dictionary_is(const struct weir_dictionary *dictionary, uint32_t code,
                                 struct weir_slice string)
{
    return code < dictionary->count && dictionary->strings[code].bytes == string.bytes &&
           memcmp(dictionary->strings[code].data, string.data, string.bytes) == 0;
}

#endif
