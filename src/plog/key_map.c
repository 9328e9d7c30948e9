/* The newest offset of each key: plog/key_map.h. */
#include "plog/key_map.h"

#include <string.h>

#include "base/alloc.h"
#include "base/digest.h"

enum { LOAD_NUMERATOR = 9, LOAD_DENOMINATOR = 10, SLOTS_MIN = 16 };

enum weir_err weir_plog_key_map_init(struct plog_key_map *map, size_t map_bytes)
{
    size_t count = map_bytes / sizeof *map->slots;

    if (count < SLOTS_MIN)
        count = SLOTS_MIN;
    *map = (struct plog_key_map){
        .slots = weir_calloc(count, sizeof *map->slots),
        .slot_count = count,
        .used_max = count / LOAD_DENOMINATOR * LOAD_NUMERATOR,
    };
    return map->slots != NULL ? WEIR_OK : WEIR_NOMEM;
}

void weir_plog_key_map_release(struct plog_key_map *map)
{
    weir_free(map->slots);
    map->slots = NULL;
}

/* The key's slot, or the free one where it belongs; there always is one. */
static struct plog_key_slot *find(const struct plog_key_map *map,
                                  const uint8_t digest[WEIR_SHA256_BYTES])
{
    uint64_t place;
    size_t i;

    memcpy(&place, digest, sizeof place);
    for (i = place % map->slot_count; map->slots[i].offset_after != 0;
         i = i + 1 < map->slot_count ? i + 1 : 0) {
        if (memcmp(map->slots[i].digest, digest, PLOG_KEY_DIGEST_BYTES) == 0)
            break;
    }
    return &map->slots[i];
}

enum weir_err weir_plog_key_map_put(struct plog_key_map *map, struct weir_slice key, int64_t offset)
{
    uint8_t digest[WEIR_SHA256_BYTES];
    struct plog_key_slot *slot;

    weir_sha256(key.data, key.bytes, digest);
    slot = find(map, digest);
    if (slot->offset_after == 0) {
        if (map->used == map->used_max)
            return WEIR_LIMIT;
        map->used++;
        memcpy(slot->digest, digest, PLOG_KEY_DIGEST_BYTES);
    }
    slot->offset_after = offset + 1;
    return WEIR_OK;
}

int64_t weir_plog_key_map_get(const struct plog_key_map *map, struct weir_slice key)
{
    uint8_t digest[WEIR_SHA256_BYTES];

    weir_sha256(key.data, key.bytes, digest);
    return find(map, digest)->offset_after - 1;
}
