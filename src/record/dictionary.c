/*
 * record/dictionary.c - the distinct strings of a column, see dictionary.h.
 *
 * An index of codes by open addressing over an array of strings in order of first sight. The bytes
 * lie in chunks that never move, so that slices handed out hold for a whole generation. The index
 * is not base/map: it must begin anew in constant memory and it is asked once a row.
 */
#include "record/dictionary.h"

#include <stdatomic.h>

#include "base/alloc.h"
#include "base/assert.h"

enum {
    SLOTS_FIRST = 64, /* a power of two; grows up to twice WEIR_DICTIONARY_MAX */
    CHUNK_BYTES = 64 << 10,
    EMPTY = -1,
};

struct chunk {
    struct chunk *next;
    size_t used, capacity;
    uint8_t bytes[];
};

struct dictionary_impl {
    struct weir_dictionary shown; /* what users see; its strings point to `strings` */
    struct weir_slice *strings;
    int32_t *slots; /* codes, or EMPTY */
    uint32_t slot_count, string_capacity;
    size_t bytes; /* of all strings */
    struct chunk *chunks;
};

/* Process-wide, so that what is remembered of one dictionary never fits another at its address. */
static uint64_t next_generation(void)
{
    static atomic_uint_least64_t last;
    return atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
}

static struct dictionary_impl *impl_of(struct weir_dictionary *dictionary)
{
    return dictionary->impl;
}

/* FNV-1a, 64 bits (Fowler, Noll, Vo), folded; strings here are short. */
static uint32_t hash(struct weir_slice string)
{
    const uint8_t *bytes = string.data;
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < string.bytes; i++)
        h = (h ^ bytes[i]) * UINT64_C(0x100000001b3);
    return (uint32_t)(h ^ h >> 32);
}

static void clear_slots(struct dictionary_impl *impl)
{
    for (uint32_t i = 0; i < impl->slot_count; i++)
        impl->slots[i] = EMPTY;
}

enum weir_err dictionary_new(struct weir_dictionary **out)
{
    struct dictionary_impl *impl = weir_calloc(1, sizeof *impl);
    if (!impl)
        return WEIR_NOMEM;
    impl->slot_count = SLOTS_FIRST;
    impl->string_capacity = SLOTS_FIRST / 2;
    impl->slots = weir_alloc(impl->slot_count * sizeof *impl->slots);
    impl->strings = weir_alloc(impl->string_capacity * sizeof *impl->strings);
    impl->shown.impl = impl;
    impl->shown.generation = next_generation();
    if (!impl->slots || !impl->strings) {
        dictionary_free(&impl->shown);
        return WEIR_NOMEM;
    }
    impl->shown.strings = impl->strings;
    clear_slots(impl);
    *out = &impl->shown;
    return WEIR_OK;
}

static void free_chunks(struct dictionary_impl *impl)
{
    while (impl->chunks) {
        struct chunk *next = impl->chunks->next;
        weir_free(impl->chunks);
        impl->chunks = next;
    }
}

void dictionary_free(struct weir_dictionary *dictionary)
{
    if (!dictionary)
        return;
    struct dictionary_impl *impl = impl_of(dictionary);
    free_chunks(impl);
    weir_free(impl->slots);
    weir_free(impl->strings);
    weir_free(impl);
}

void dictionary_clear(struct weir_dictionary *dictionary)
{
    struct dictionary_impl *impl = impl_of(dictionary);
    if (dictionary->count == 0)
        return;
    free_chunks(impl);
    clear_slots(impl);
    impl->bytes = 0;
    dictionary->count = 0;
    dictionary->generation = next_generation();
}

void dictionary_open(struct weir_dictionary *dictionary, uint32_t rows)
{
    /* one string a row and the default; half of the bytes are kept free for the next block */
    if (dictionary->count + rows + 1 > WEIR_DICTIONARY_MAX ||
        impl_of(dictionary)->bytes > WEIR_DICTIONARY_BYTES_MAX / 2)
        dictionary_clear(dictionary);
}

/* Twice the slots and strings. */
static enum weir_err grow(struct dictionary_impl *impl)
{
    uint32_t slot_count = impl->slot_count * 2, string_capacity = slot_count / 2;
    int32_t *slots = weir_alloc(slot_count * sizeof *slots);
    struct weir_slice *strings =
        slots ? weir_realloc(impl->strings, string_capacity * sizeof *strings) : NULL;
    if (!strings) {
        weir_free(slots);
        return WEIR_NOMEM;
    }
    weir_free(impl->slots);
    impl->slots = slots;
    impl->slot_count = slot_count;
    impl->strings = strings;
    impl->string_capacity = string_capacity;
    impl->shown.strings = strings;
    clear_slots(impl);
    for (uint32_t code = 0; code < impl->shown.count; code++) {
        uint32_t slot = hash(strings[code]) & (slot_count - 1);
        while (slots[slot] != EMPTY)
            slot = (slot + 1) & (slot_count - 1);
        slots[slot] = (int32_t)code;
    }
    return WEIR_OK;
}

static uint8_t *reserve(struct dictionary_impl *impl, size_t bytes)
{
    struct chunk *chunk = impl->chunks;
    if (!chunk || chunk->capacity - chunk->used < bytes) {
        size_t capacity = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
        chunk = weir_alloc(sizeof *chunk + capacity);
        if (!chunk)
            return NULL;
        *chunk = (struct chunk){.next = impl->chunks, .capacity = capacity};
        impl->chunks = chunk;
    }
    uint8_t *at = chunk->bytes + chunk->used;
    chunk->used += bytes;
    return at;
}

enum weir_err dictionary_add(struct weir_dictionary *dictionary, struct weir_slice string,
                             uint32_t *code_out)
{
    struct dictionary_impl *impl = impl_of(dictionary);
    uint32_t mask = impl->slot_count - 1, slot = hash(string) & mask;
    for (; impl->slots[slot] != EMPTY; slot = (slot + 1) & mask) {
        uint32_t code = (uint32_t)impl->slots[slot];
        if (dictionary_is(dictionary, code, string)) {
            *code_out = code;
            return WEIR_OK;
        }
    }
    if (string.bytes > WEIR_STRING_BYTES_MAX ||
        string.bytes > WEIR_DICTIONARY_BYTES_MAX - impl->bytes ||
        dictionary->count >= WEIR_DICTIONARY_MAX)
        return WEIR_LIMIT;
    if (dictionary->count == impl->string_capacity) {
        enum weir_err err = grow(impl);
        return err == WEIR_OK ? dictionary_add(dictionary, string, code_out) : err;
    }
    uint8_t *copy = reserve(impl, string.bytes);
    if (!copy)
        return WEIR_NOMEM;
    if (string.bytes)
        memcpy(copy, string.data, string.bytes);
    impl->bytes += string.bytes;
    impl->strings[dictionary->count] = weir_slice(copy, string.bytes);
    impl->slots[slot] = (int32_t)dictionary->count;
    *code_out = dictionary->count++;
    return WEIR_OK;
}
