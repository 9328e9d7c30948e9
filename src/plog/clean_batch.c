/* What is left of a batch: plog/clean_batch.h. */
#include "plog/clean_batch.h"

#include "plog/batch_time.h"
#include "wire/record_batch.h"

enum weir_err weir_plog_clean_note_keys(struct plog_key_map *map, struct weir_slice bytes,
                                        int64_t offset_first, bool *full_out,
                                        struct weir_error *error)
{
    struct wire_batch batch;
    struct wire_walk walk;
    struct wire_record record;
    enum weir_err err = wire_batch_read(bytes, &batch, error);

    *full_out = false;
    if (err != WEIR_OK)
        return err;
    err = wire_walk_init(&walk, &batch, PLOG_INFLATED_BYTES_MAX, error);
    while (err == WEIR_OK && !*full_out &&
           (err = wire_walk_next(&walk, &record, error)) == WEIR_OK) {
        if (record.key.data != NULL && record.offset >= offset_first)
            *full_out = weir_plog_key_map_put(map, record.key, record.offset) != WEIR_OK;
    }
    wire_walk_release(&walk);
    return err == WEIR_END ? WEIR_OK : err;
}

/* When a batch's tombstones, or its marker, may go; INT64_MAX = that is not decided yet. */
static int64_t horizon_of(const struct plog_head *head)
{
    return head->attributes & PLOG_DELETE_HORIZON ? head->timestamp_base : INT64_MAX;
}

static int64_t new_horizon(const struct plog_clean_rules *rules)
{
    int64_t horizon;

    return __builtin_add_overflow(rules->now_ms, rules->delete_retention_ms, &horizon) ? INT64_MAX
                                                                                       : horizon;
}

/* What a walk over the records has found. */
struct judged {
    int32_t kept, count;
    bool tombstones; /* among those kept */
};

static enum weir_err judge_records(struct plog_clean_rules *rules, struct wire_walk *walk,
                                   const struct plog_head *head, bool aborted, struct judged *out,
                                   struct weir_error *error)
{
    bool tombstones_stay = rules->now_ms < horizon_of(head);
    struct wire_record record;
    enum weir_err err;

    *out = (struct judged){0};
    weir_buffer_clear(&rules->keep);
    while ((err = wire_walk_next(walk, &record, error)) == WEIR_OK) {
        bool keep = !aborted && record.key.data != NULL &&
                    record.offset >= weir_plog_key_map_get(rules->map, record.key) &&
                    (record.value.data != NULL || tombstones_stay);
        out->count++;
        out->kept += keep;
        out->tombstones = out->tombstones || (keep && record.value.data == NULL);
        err = weir_buffer_append_byte(&rules->keep, keep);
        if (err != WEIR_OK)
            return weir_error_set(error, err, -1, "a batch of %d records: %s",
                                  (int)head->record_count, weir_err_text(err));
    }
    return err == WEIR_END ? WEIR_OK : err;
}

static enum weir_err copy(struct weir_slice bytes, struct weir_buffer *into,
                          struct weir_error *error)
{
    enum weir_err err = weir_buffer_append(into, bytes.data, bytes.bytes);

    return err == WEIR_OK ? err : weir_error_set(error, err, -1, "a batch: no memory");
}

static enum weir_err clean_records(struct plog_clean_rules *rules, struct wire_walk *walk,
                                   const struct plog_head *head,
                                   const struct plog_clean_case *known, struct weir_buffer *into,
                                   struct weir_error *error)
{
    struct weir_slice whole = weir_slice(walk->batch.bytes, walk->batch.byte_count);
    struct judged judged;
    bool stamp;
    enum weir_err err = judge_records(rules, walk, head, known->aborted, &judged, error);

    if (err != WEIR_OK || (judged.kept == 0 && !known->needed))
        return err;
    stamp = judged.tombstones && horizon_of(head) == INT64_MAX;
    if (judged.kept == judged.count && !stamp)
        return copy(whole, into, error);
    return wire_walk_rewrite(walk, rules->keep.data, stamp ? new_horizon(rules) : -1, into, error);
}

/* A marker is one record, which stays or goes with its batch. */
static enum weir_err clean_marker(struct plog_clean_rules *rules, struct wire_walk *walk,
                                  const struct plog_head *head, const struct plog_clean_case *known,
                                  struct weir_buffer *into, struct weir_error *error)
{
    static const uint8_t keep[1] = {1};
    int64_t horizon = horizon_of(head);

    if (known->orphan && !known->needed && horizon <= rules->now_ms)
        return WEIR_OK;
    if (known->orphan && horizon == INT64_MAX && head->record_count == 1)
        return wire_walk_rewrite(walk, keep, new_horizon(rules), into, error);
    return copy(weir_slice(walk->batch.bytes, walk->batch.byte_count), into, error);
}

enum weir_err weir_plog_clean_batch(struct plog_clean_rules *rules, struct weir_slice bytes,
                                    const struct plog_head *head,
                                    const struct plog_clean_case *known, struct weir_buffer *into,
                                    struct weir_error *error)
{
    struct wire_batch batch;
    struct wire_walk walk;
    enum weir_err err;

    /* Later records of its keys may be unknown. */
    if (head->offset_last >= rules->offset_end)
        return copy(bytes, into, error);
    err = wire_batch_read(bytes, &batch, error);
    if (err != WEIR_OK)
        return err;
    err = wire_walk_init(&walk, &batch, PLOG_INFLATED_BYTES_MAX, error);
    if (err == WEIR_OK)
        err = head->attributes & PLOG_CONTROL
                  ? clean_marker(rules, &walk, head, known, into, error)
                  : clean_records(rules, &walk, head, known, into, error);
    wire_walk_release(&walk);
    return err;
}
