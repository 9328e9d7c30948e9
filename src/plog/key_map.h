/*
 * plog/key_map.h - the newest offset of each key, as far as a given memory goes.
 *
 * What:    an open-addressed table of 24 bytes a slot, 16 of them the front of the key's SHA-256:
 *          keys of any length take the same room, and no two will ever meet in those 128 bits.
 * Life:    init -> put, get ... -> release.
 * Threads: one.
 * Memory:  map_bytes at once; of it the system gives only the pages that were touched.
 * Errors:  NOMEM; LIMIT when nine slots of ten are taken.
 */
#ifndef WEIR_PLOG_KEY_MAP_H
#define WEIR_PLOG_KEY_MAP_H

#include <weir/base.h>

enum { PLOG_KEY_DIGEST_BYTES = 16 };

struct plog_key_slot {
    uint8_t digest[PLOG_KEY_DIGEST_BYTES];
    int64_t offset_after; /* of the record, and 1; 0 = free */
};

struct plog_key_map {
    struct plog_key_slot *slots;
    size_t slot_count, used, used_max;
};

WEIR_MUST_USE enum weir_err weir_plog_key_map_init(struct plog_key_map *map, size_t map_bytes);
void weir_plog_key_map_release(struct plog_key_map *map);
/* Offsets of a key come ascending. LIMIT: the map is full, and the key is not in it. */
WEIR_MUST_USE enum weir_err weir_plog_key_map_put(struct plog_key_map *map, struct weir_slice key,
                                                  int64_t offset);
/* -1: the key is not there. */
int64_t weir_plog_key_map_get(const struct plog_key_map *map, struct weir_slice key);

#endif
