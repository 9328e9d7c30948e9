/*
 * base/map.h - the one hash map: bytes -> pointer or number.
 *
 * What:    open addressing over a dense array of entries in the order of insertion.
 *
 *      slots    [ . 2 . . 0 . 1 . ]      indexes into entries, linear probing, at most 3/4 full
 *      entries  [ k0 v0 | k1 v1 | k2 v2 ]
 *
 * Life:    weir_map_init -> add, find, remove ... -> weir_map_release.
 * Threads: one at a time; find and next are read-only and may run together.
 * Memory:  keys are copied; values are the caller's (release does not free them: walk first).
 *          Entries move on weir_map_add: keep no pointer to one across it.
 * Errors:  LIMIT (count_max entries), NOMEM; the map is unchanged then.
 *
 * The hash is SipHash-1-3 with a random key per map: keys may come from outside. The order of
 * iteration is that of insertion, whatever the hash.
 */
#ifndef WEIR_BASE_MAP_H
#define WEIR_BASE_MAP_H

#include <weir/base.h>

union weir_map_value {
    void *pointer;
    uint64_t number;
};

struct weir_map_entry {
    char *key; /* NUL behind its bytes; NULL = removed (only seen inside) */
    size_t key_bytes;
    uint64_t hash;
    union weir_map_value value; /* the caller's to read and to write */
};

struct weir_map {
    struct weir_map_entry *entries;
    uint32_t *slots; /* index of an entry + 1; 0 = free; a power of two of them */
    uint32_t slot_count;
    uint32_t entry_count; /* of entries, with removed ones */
    uint32_t entry_capacity;
    uint32_t count; /* of entries that live */
    uint32_t count_max;
    uint64_t seed[2];
};

/* count_max: ceiling of entries, 1 .. 2^30. Allocates nothing. */
void weir_map_init(struct weir_map *map, uint32_t count_max);
/* Frees keys and tables, not what values point to. The map is empty and can be used again. */
void weir_map_release(struct weir_map *map);
/* Removes all entries, keeps the tables. */
void weir_map_clear(struct weir_map *map);

static inline uint32_t weir_map_count(const struct weir_map *map)
{
    return map->count;
}

/* The entry of a key, borrowed until the next add; NULL if there is none. */
struct weir_map_entry *weir_map_find(const struct weir_map *map, struct weir_slice key);
/* Finds the entry of a key or adds one with a zero value. *added_out (may be NULL) says which. */
WEIR_MUST_USE enum weir_err weir_map_add(struct weir_map *map, struct weir_slice key,
                                         struct weir_map_entry **entry_out, bool *added_out);
/* Removes a key. False if it was not there. *old_out (may be NULL) receives the value. */
bool weir_map_remove(struct weir_map *map, struct weir_slice key, union weir_map_value *old_out);

/* Shorthands for pointer values: the pointer or NULL; put replaces. */
void *weir_map_get(const struct weir_map *map, struct weir_slice key);
WEIR_MUST_USE enum weir_err weir_map_put(struct weir_map *map, struct weir_slice key, void *value);
/* The same for a C string as key (without its NUL). */
void *weir_map_get_text(const struct weir_map *map, const char *key);
WEIR_MUST_USE enum weir_err weir_map_put_text(struct weir_map *map, const char *key, void *value);

/*
 * Walks in the order of insertion: previous NULL gives the first entry, NULL ends. The entry just
 * given may be removed meanwhile; nothing may be added.
 *
 *      for (struct weir_map_entry *e = NULL; (e = weir_map_next(&map, e)) != NULL;)
 */
struct weir_map_entry *weir_map_next(const struct weir_map *map,
                                     const struct weir_map_entry *previous);

#endif
