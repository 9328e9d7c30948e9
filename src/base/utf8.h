/*
 * base/utf8.h - UTF-8, character by character.
 *
 * What:    the length of a well-formed character, and how one is written.
 * Life:    pure functions.
 * Threads: any.
 * Memory:  none.
 * Errors:  0 for what is not well-formed.
 */
#ifndef WEIR_BASE_UTF8_H
#define WEIR_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Bytes (1..4) of the first character of text, of which `left` > 0 bytes can be read; 0 if there is
 * no well-formed one. Source: the Unicode Standard, table 3-7. */
size_t weir_utf8_bytes(const void *text, size_t left);
/* Writes a code point into text[4]; gives its bytes, 0 for surrogates and what is no code point. */
size_t weir_utf8_encode(uint32_t code_point, char text[4]);

#endif
