/* The hash map: base/map.h. */
#include "base/map.h"

#include <string.h>
#include <sys/random.h>

#include "base/alloc.h"
#include "base/assert.h"

enum { SLOTS_MIN = 8, COUNT_MAX = 1 << 30 };

/* SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012). */
static inline uint64_t rotate(uint64_t x, int bits)
{
    return (x << bits) | (x >> (64 - bits));
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

static uint64_t hash_of(const struct weir_map *map, struct weir_slice key)
{
    const uint8_t *at = key.data;
    size_t left = key.bytes;
    uint64_t word = 0, last = (uint64_t)key.bytes << 56;
    uint64_t v[4] = {
        map->seed[0] ^ UINT64_C(0x736f6d6570736575),
        map->seed[1] ^ UINT64_C(0x646f72616e646f6d),
        map->seed[0] ^ UINT64_C(0x6c7967656e657261),
        map->seed[1] ^ UINT64_C(0x7465646279746573),
    };

    for (; left >= 8; left -= 8, at += 8) {
        memcpy(&word, at, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    for (size_t i = 0; i < left; i++)
        last |= (uint64_t)at[i] << (8 * i);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void weir_map_init(struct weir_map *map, uint32_t count_max)
{
    weir_assert(count_max >= 1 && count_max <= COUNT_MAX);
    *map = (struct weir_map){.count_max = count_max};
    /* Without entropy the hash is merely predictable, not wrong. */
    if (getrandom(map->seed, sizeof map->seed, GRND_NONBLOCK) != (ssize_t)sizeof map->seed)
        map->seed[0] = (uint64_t)(uintptr_t)map;
}

static void free_keys(struct weir_map *map)
{
    for (uint32_t i = 0; i < map->entry_count; i++)
        weir_free(map->entries[i].key);
    map->entry_count = 0;
    map->count = 0;
}

void weir_map_release(struct weir_map *map)
{
    free_keys(map);
    weir_free(map->entries);
    weir_free(map->slots);
    map->entries = NULL;
    map->slots = NULL;
    map->entry_capacity = 0;
    map->slot_count = 0;
}

void weir_map_clear(struct weir_map *map)
{
    free_keys(map);
    if (map->slots != NULL)
        memset(map->slots, 0, map->slot_count * sizeof *map->slots);
}

/* The slot of a key, or the free slot where it would go. There always is a free one. */
static uint32_t probe(const struct weir_map *map, struct weir_slice key, uint64_t hash)
{
    uint32_t mask = map->slot_count - 1;
    uint32_t slot = (uint32_t)hash & mask;

    for (; map->slots[slot] != 0; slot = (slot + 1) & mask) {
        const struct weir_map_entry *entry = &map->entries[map->slots[slot] - 1];
        if (entry->hash == hash && entry->key != NULL && entry->key_bytes == key.bytes &&
            (key.bytes == 0 || memcmp(entry->key, key.data, key.bytes) == 0))
            break;
    }
    return slot;
}

struct weir_map_entry *weir_map_find(const struct weir_map *map, struct weir_slice key)
{
    uint32_t index;

    if (map->count == 0)
        return NULL;
    index = map->slots[probe(map, key, hash_of(map, key))];
    return index != 0 ? &map->entries[index - 1] : NULL;
}

/* Closes the gaps of removed entries and files all that live anew. */
static void file_anew(struct weir_map *map)
{
    uint32_t kept = 0, mask = map->slot_count - 1;

    memset(map->slots, 0, map->slot_count * sizeof *map->slots);
    for (uint32_t i = 0; i < map->entry_count; i++) {
        uint32_t slot;
        if (map->entries[i].key == NULL)
            continue;
        map->entries[kept] = map->entries[i];
        slot = (uint32_t)map->entries[kept].hash & mask;
        while (map->slots[slot] != 0)
            slot = (slot + 1) & mask;
        map->slots[slot] = ++kept;
    }
    map->entry_count = kept;
}

/*
 * Makes room for one more entry. Removed entries keep their slot until here, so slots are counted
 * by entry_count: at most 3/4 of them are taken. If half of the entries are removed ones, room is
 * made by closing gaps; else the tables double.
 */
static enum weir_err make_room(struct weir_map *map)
{
    uint32_t slot_count = map->slot_count;
    uint32_t capacity;
    struct weir_map_entry *entries;
    uint32_t *slots;

    if (map->entry_count < map->entry_capacity)
        return WEIR_OK;
    if (slot_count == 0)
        slot_count = SLOTS_MIN;
    else if (map->count > map->entry_capacity / 2)
        slot_count *= 2;
    if (slot_count == map->slot_count) {
        file_anew(map);
        return WEIR_OK;
    }
    capacity = slot_count / 4 * 3;
    entries = weir_realloc_array(map->entries, capacity, sizeof *entries);
    if (entries == NULL)
        return WEIR_NOMEM;
    map->entries = entries;
    slots = weir_calloc(slot_count, sizeof *slots);
    if (slots == NULL)
        return WEIR_NOMEM;
    weir_free(map->slots);
    map->slots = slots;
    map->slot_count = slot_count;
    map->entry_capacity = capacity;
    file_anew(map);
    return WEIR_OK;
}

enum weir_err weir_map_add(struct weir_map *map, struct weir_slice key,
                           struct weir_map_entry **entry_out, bool *added_out)
{
    struct weir_map_entry *entry = weir_map_find(map, key);
    enum weir_err err;
    char *copy;

    if (added_out != NULL)
        *added_out = entry == NULL;
    if (entry == NULL) {
        if (map->count >= map->count_max)
            return WEIR_LIMIT;
        err = make_room(map);
        if (err != WEIR_OK)
            return err;
        copy = weir_strndup(key.data, key.bytes);
        if (copy == NULL)
            return WEIR_NOMEM;
        weir_assert(map->entries != NULL);
        entry = &map->entries[map->entry_count];
        *entry =
            (struct weir_map_entry){.key = copy, .key_bytes = key.bytes, .hash = hash_of(map, key)};
        map->slots[probe(map, key, entry->hash)] = ++map->entry_count;
        map->count++;
    }
    *entry_out = entry;
    return WEIR_OK;
}

bool weir_map_remove(struct weir_map *map, struct weir_slice key, union weir_map_value *old_out)
{
    struct weir_map_entry *entry = weir_map_find(map, key);

    if (entry == NULL)
        return false;
    if (old_out != NULL)
        *old_out = entry->value;
    weir_free(entry->key);
    entry->key = NULL;
    map->count--;
    return true;
}

void *weir_map_get(const struct weir_map *map, struct weir_slice key)
{
    struct weir_map_entry *entry = weir_map_find(map, key);
    return entry != NULL ? entry->value.pointer : NULL;
}

enum weir_err weir_map_put(struct weir_map *map, struct weir_slice key, void *value)
{
    struct weir_map_entry *entry;
    enum weir_err err = weir_map_add(map, key, &entry, NULL);

    if (err == WEIR_OK)
        entry->value.pointer = value;
    return err;
}

void *weir_map_get_text(const struct weir_map *map, const char *key)
{
    return weir_map_get(map, weir_slice(key, strlen(key)));
}

enum weir_err weir_map_put_text(struct weir_map *map, const char *key, void *value)
{
    return weir_map_put(map, weir_slice(key, strlen(key)), value);
}

struct weir_map_entry *weir_map_next(const struct weir_map *map,
                                     const struct weir_map_entry *previous)
{
    uint32_t i = previous != NULL ? (uint32_t)(previous - map->entries) + 1 : 0;

    while (i < map->entry_count && map->entries[i].key == NULL)
        i++;
    return i < map->entry_count ? &map->entries[i] : NULL;
}
