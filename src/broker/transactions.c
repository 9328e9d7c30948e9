/* broker/transactions.c - the transaction coordinator, see transactions.h. */
#include "broker/transactions.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

enum {
    KEY_BYTES_MAX = GROUP_ID_BYTES_MAX + 1 + TOPIC_NAME_BYTES_MAX + 1 + 4,
    MARKER_BYTES = 78,
    EPOCH_LAST = INT16_MAX - 1, /* one is left for an abort that fences */
};

/* ---- keys ------------------------------------------------------------------------------------ */

/* "[<group>\0]<topic>\0<partition>"; empty: names too long. */
static struct weir_slice key_of(struct weir_slice group, struct weir_slice topic, int32_t partition,
                                uint8_t key[KEY_BYTES_MAX])
{
    size_t bytes = 0;
    if (group.bytes > GROUP_ID_BYTES_MAX || topic.bytes > TOPIC_NAME_BYTES_MAX || !topic.data)
        return weir_slice(NULL, 0);
    if (group.data) {
        memcpy(key, group.data, group.bytes);
        key[group.bytes] = 0;
        bytes = group.bytes + 1;
    }
    memcpy(key + bytes, topic.data, topic.bytes);
    bytes += topic.bytes;
    key[bytes++] = 0;
    memcpy(key + bytes, &partition, sizeof partition);
    return weir_slice(key, bytes + sizeof partition);
}

static struct weir_slice partition_key(struct weir_slice topic, int32_t partition,
                                       uint8_t key[KEY_BYTES_MAX])
{
    return key_of(weir_slice(NULL, 0), topic, partition, key);
}

/* ---- what is remembered ---------------------------------------------------------------------- */

struct transaction *broker_transaction_find(const struct weir_broker *broker, struct weir_slice id)
{
    return id.data ? weir_map_get(&broker->transactions, id) : NULL;
}

static void drop_offset(struct weir_broker *broker, struct transaction *t,
                        struct weir_map_entry *entry)
{
    struct committed *committed = entry->value.pointer;
    weir_map_remove(&t->offsets, weir_slice(entry->key, entry->key_bytes), NULL);
    weir_free(committed->metadata);
    weir_free(committed);
    broker->transaction_offsets--;
}

static void clear(struct weir_broker *broker, struct transaction *t)
{
    weir_map_clear(&t->partitions);
    weir_map_clear(&t->groups);
    for (struct weir_map_entry *e = NULL; (e = weir_map_next(&t->offsets, e)) != NULL;)
        drop_offset(broker, t, e);
}

static void transaction_free(struct weir_broker *broker, struct transaction *t)
{
    clear(broker, t);
    weir_map_release(&t->partitions);
    weir_map_release(&t->groups);
    weir_map_release(&t->offsets);
    weir_free(t->id);
    weir_free(t);
}

struct transaction *broker_transaction_obtain(struct weir_broker *broker, struct weir_slice id)
{
    struct transaction *t = broker_transaction_find(broker, id);
    if (t || !id.data)
        return t;
    t = weir_calloc(1, sizeof *t);
    if (!t)
        return NULL;
    weir_map_init(&t->partitions, PARTITIONS_MAX);
    weir_map_init(&t->groups, TRANSACTION_GROUPS_MAX);
    weir_map_init(&t->offsets, TRANSACTION_OFFSETS_MAX);
    t->core = (struct transaction_core){.producer = {-1, -1}, .last = {-1, -1}};
    t->id = weir_strndup(id.data, id.bytes);
    if (t->id && weir_map_put(&broker->transactions, id, t) == WEIR_OK)
        return t;
    transaction_free(broker, t);
    return NULL;
}

void broker_transaction_forget(struct weir_broker *broker, struct transaction *t)
{
    weir_map_remove(&broker->transactions, weir_slice(t->id, strlen(t->id)), NULL);
    transaction_free(broker, t);
}

static bool is_prepared(const struct transaction *t)
{
    return t->core.state == TRANSACTION_PREPARE_COMMIT ||
           t->core.state == TRANSACTION_PREPARE_ABORT;
}

static bool is_open(const struct transaction *t)
{
    return t->core.state == TRANSACTION_ONGOING || is_prepared(t);
}

void broker_transaction_become(struct weir_broker *broker, struct transaction *t,
                               const struct transaction_core *core)
{
    t->core = *core;
    if (!is_open(t))
        clear(broker, t);
}

enum weir_err broker_transaction_note(struct transaction *t, struct weir_slice group_or_topic,
                                      int32_t partition)
{
    uint8_t bytes[KEY_BYTES_MAX];
    if (partition == ADD_GROUP)
        return weir_map_put(&t->groups, group_or_topic, t);
    struct weir_slice key = partition_key(group_or_topic, partition, bytes);
    return key.data ? weir_map_put(&t->partitions, key, t) : WEIR_LIMIT;
}

enum weir_err broker_transaction_note_offset(struct weir_broker *broker, struct transaction *t,
                                             struct weir_slice group, struct weir_slice topic,
                                             int32_t partition, const struct committed *committed)
{
    uint8_t bytes[KEY_BYTES_MAX];
    struct weir_slice key = key_of(group, topic, partition, bytes);
    struct weir_map_entry *entry;
    bool added;
    if (!key.data || !group.data)
        return WEIR_LIMIT;
    struct committed *copy = weir_alloc(sizeof *copy);
    char *metadata = weir_strdup(committed->metadata ? committed->metadata : "");
    enum weir_err err =
        copy && metadata ? weir_map_add(&t->offsets, key, &entry, &added) : WEIR_NOMEM;
    if (err != WEIR_OK) {
        weir_free(copy);
        weir_free(metadata);
        return err;
    }
    *copy = *committed;
    copy->metadata = metadata;
    if (added) {
        broker->transaction_offsets++;
    } else {
        struct committed *old = entry->value.pointer;
        weir_free(old->metadata);
        weir_free(old);
    }
    entry->value.pointer = copy;
    return WEIR_OK;
}

/* ---- offsets --------------------------------------------------------------------------------- */

enum weir_err broker_transaction_apply_offsets(struct weir_broker *broker, struct transaction *t)
{
    for (struct weir_map_entry *e = NULL; (e = weir_map_next(&t->offsets, e)) != NULL;) {
        struct weir_slice group_id = weir_slice(e->key, strlen(e->key));
        const char *topic = e->key + group_id.bytes + 1;
        int32_t partition;
        memcpy(&partition, topic + strlen(topic) + 1, sizeof partition);
        if (!broker_partition_find(broker, weir_slice(topic, strlen(topic)), partition))
            continue; /* deleted meanwhile */
        struct group *group = broker_group_find_or_make(broker, group_id);
        enum weir_err err = group ? broker_group_store(group, weir_slice(topic, strlen(topic)),
                                                       partition, e->value.pointer)
                                  : WEIR_NOMEM;
        if (err != WEIR_OK)
            return err;
    }
    return WEIR_OK;
}

bool broker_transactions_unstable(const struct weir_broker *broker, struct weir_slice group,
                                  struct weir_slice topic, int32_t partition)
{
    uint8_t bytes[KEY_BYTES_MAX];
    struct weir_slice key = key_of(group, topic, partition, bytes);
    if (!broker->transaction_offsets || !key.data || !group.data)
        return false;
    for (struct weir_map_entry *e = NULL; (e = weir_map_next(&broker->transactions, e)) != NULL;) {
        const struct transaction *t = e->value.pointer;
        if (weir_map_find(&t->offsets, key))
            return true;
    }
    return false;
}

void broker_transactions_supersede(struct weir_broker *broker, struct weir_slice group,
                                   struct weir_slice topic, int32_t partition)
{
    uint8_t bytes[KEY_BYTES_MAX];
    struct weir_slice key = key_of(group, topic, partition, bytes);
    if (!broker->transaction_offsets || !key.data || !group.data)
        return;
    for (struct weir_map_entry *e = NULL; (e = weir_map_next(&broker->transactions, e)) != NULL;) {
        struct transaction *t = e->value.pointer;
        struct weir_map_entry *found = weir_map_find(&t->offsets, key);
        if (found)
            drop_offset(broker, t, found);
    }
}

/* ---- from state to state --------------------------------------------------------------------- */

static void complain(struct weir_broker *broker, const struct transaction *t, const char *what,
                     const struct weir_error *error)
{
    weir_log(&broker->options.log, WEIR_LOG_ERROR, "broker", "transactional id %s: %s: %s", t->id,
             what, error->message);
}

static enum wire_error move(struct weir_broker *broker, struct transaction *t,
                            struct transaction_core core)
{
    struct weir_error error = {.code = WEIR_OK};
    core.updated_ms = weir_clock_wall_ms(broker->clock);
    if (broker_journal_transaction(broker, t, &core, &error) != WEIR_OK) {
        complain(broker, t, "its state can't be written", &error);
        return WIRE_COORDINATOR_NOT_AVAILABLE;
    }
    broker_transaction_become(broker, t, &core);
    return WIRE_NONE;
}

bool broker_transaction_mark(struct weir_broker *broker, struct partition *partition,
                             const struct weir_plog_marker *marker)
{
    struct weir_plog_appended appended;
    struct weir_error error = {.code = WEIR_OK};
    enum weir_err err =
        weir_plog_end_transaction(partition->log, marker, LEADER_EPOCH, &appended, &error);
    if (err == WEIR_OK && broker->options.flush == WEIR_BROKER_FLUSH_EVERY)
        err = weir_plog_sync(partition->log, &error);
    if (err != WEIR_OK) {
        weir_log(&broker->options.log, WEIR_LOG_ERROR, "broker",
                 "the end of a transaction can't be written to %s-%d: %s", partition->topic->name,
                 (int)partition->index, error.message);
        return false;
    }
    broker_fetches_wake(partition, MARKER_BYTES);
    return true;
}

/* The partition of a key; NULL: deleted meanwhile. */
static struct partition *partition_of(const struct weir_broker *broker,
                                      const struct weir_map_entry *entry)
{
    struct weir_slice topic = weir_slice(entry->key, strlen(entry->key));
    int32_t index;
    memcpy(&index, entry->key + topic.bytes + 1, sizeof index);
    return broker_partition_find(broker, topic, index);
}

/* Can all its markers be written, as far as is known? */
static bool is_writable(const struct weir_broker *broker, const struct transaction *t)
{
    for (struct weir_map_entry *e = NULL; (e = weir_map_next(&t->partitions, e)) != NULL;) {
        const struct partition *partition = partition_of(broker, e);
        if (partition && !weir_plog_is_writable(partition->log))
            return false;
    }
    return true;
}

/* Does what was decided: markers, then offsets, then the word that it is done. What fails is tried
 * again; CONCURRENT_TRANSACTIONS until then. */
static enum wire_error finish(struct weir_broker *broker, struct transaction *t)
{
    bool commit = t->core.state == TRANSACTION_PREPARE_COMMIT;
    struct transaction_core core = t->core;
    struct weir_plog_marker marker = {
        .producer_id = core.producer.id, .producer_epoch = core.producer.epoch, .commit = commit};
    weir_assert(is_prepared(t));
    for (struct weir_map_entry *e = NULL; (e = weir_map_next(&t->partitions, e)) != NULL;) {
        struct partition *partition = partition_of(broker, e);
        if (!partition || broker_transaction_mark(broker, partition, &marker) ||
            (!commit && !weir_plog_is_writable(partition->log)))
            weir_map_remove(&t->partitions, weir_slice(e->key, e->key_bytes), NULL);
    }
    if (weir_map_count(&t->partitions) > 0 ||
        (commit && broker_transaction_apply_offsets(broker, t) != WEIR_OK))
        return WIRE_CONCURRENT_TRANSACTIONS;
    core.state = commit ? TRANSACTION_COMPLETE_COMMIT : TRANSACTION_COMPLETE_ABORT;
    return move(broker, t, core) == WIRE_NONE ? WIRE_NONE : WIRE_CONCURRENT_TRANSACTIONS;
}

/* fence: nobody who wrote in this transaction may go on. */
static enum wire_error decide(struct weir_broker *broker, struct transaction *t, bool commit,
                              bool fence)
{
    struct transaction_core core = t->core;
    core.state = commit ? TRANSACTION_PREPARE_COMMIT : TRANSACTION_PREPARE_ABORT;
    if (fence) {
        core.last = (struct producer){-1, -1};
        core.producer.epoch++;
    }
    return move(broker, t, core);
}

enum wire_error broker_transaction_end(struct weir_broker *broker, struct transaction *t,
                                       bool commit)
{
    enum wire_error error;
    if (is_prepared(t) && commit == (t->core.state == TRANSACTION_PREPARE_COMMIT))
        return finish(broker, t);
    switch (t->core.state) {
    case TRANSACTION_ONGOING:
        if (commit && !is_writable(broker, t))
            return WIRE_STORAGE_ERROR;
        error = decide(broker, t, commit, false);
        if (error == WIRE_NONE)
            finish(broker, t); /* it is decided in any case */
        return error;
    case TRANSACTION_COMPLETE_COMMIT:
        return commit ? WIRE_NONE : WIRE_INVALID_TXN_STATE; /* an answer that was lost */
    case TRANSACTION_COMPLETE_ABORT:
        return commit ? WIRE_INVALID_TXN_STATE : WIRE_NONE;
    case TRANSACTION_EMPTY:
    case TRANSACTION_PREPARE_COMMIT:
    case TRANSACTION_PREPARE_ABORT:
        break;
    }
    return WIRE_INVALID_TXN_STATE;
}

/* ---- requests -------------------------------------------------------------------------------- */

enum wire_error broker_transaction_speaker(struct weir_broker *broker, struct weir_slice id,
                                           struct producer producer, struct transaction **out)
{
    *out = broker_transaction_find(broker, id);
    if (!id.bytes)
        return WIRE_INVALID_REQUEST;
    if (!*out || (*out)->core.producer.id != producer.id)
        return WIRE_INVALID_PRODUCER_ID_MAPPING;
    return (*out)->core.producer.epoch == producer.epoch ? WIRE_NONE : WIRE_PRODUCER_FENCED;
}

enum wire_error broker_transaction_may_add(struct weir_broker *broker, struct transaction *t)
{
    return is_prepared(t) ? finish(broker, t) : WIRE_NONE;
}

void broker_transaction_add_begin(struct transaction_adding *adding, struct weir_broker *broker,
                                  struct transaction *t)
{
    *adding = (struct transaction_adding){.broker = broker, .transaction = t};
    weir_buffer_init(&adding->entries, TRANSACTION_ENTRIES_BYTES_MAX);
    adding->writer = wire_writer(&adding->entries, false);
}

/* What is in the journal is in force; the rest is asked for again, or aborted. */
static void write_added(struct transaction_adding *adding)
{
    struct weir_error error = {.code = WEIR_OK};
    enum weir_err err = broker_journal_append(adding->broker, &adding->writer, &error);
    if (err == WEIR_OK) {
        err = broker_journal_take_entries(adding->broker, weir_buffer_slice(&adding->entries));
        weir_error_set(&error, err, -1, "no memory, or too much of it");
    }
    if (err != WEIR_OK) {
        complain(adding->broker, adding->transaction, "nothing can be added", &error);
        adding->error = WIRE_COORDINATOR_NOT_AVAILABLE;
    }
    weir_buffer_clear(&adding->entries);
}

static void write_if_many(struct transaction_adding *adding)
{
    if (adding->entries.bytes > TRANSACTION_ENTRIES_BYTES_MAX / 2)
        write_added(adding);
}

void broker_transaction_add(struct transaction_adding *adding, struct weir_slice group_or_topic,
                            int32_t partition)
{
    uint8_t bytes[KEY_BYTES_MAX];
    struct transaction *t = adding->transaction;
    if (adding->error != WIRE_NONE ||
        (partition == ADD_GROUP
             ? weir_map_find(&t->groups, group_or_topic)
             : weir_map_find(&t->partitions, partition_key(group_or_topic, partition, bytes))))
        return;
    if (t->core.state != TRANSACTION_ONGOING && !adding->entries.bytes) {
        struct transaction_core core = t->core;
        core.state = TRANSACTION_ONGOING;
        core.started_ms = core.updated_ms = weir_clock_wall_ms(adding->broker->clock);
        broker_journal_put_core(&adding->writer, t, &core);
    }
    broker_journal_put_added(&adding->writer, t, group_or_topic, partition);
    write_if_many(adding);
}

void broker_transaction_add_offset(struct transaction_adding *adding, struct weir_slice group,
                                   struct weir_slice topic, int32_t partition,
                                   const struct committed *committed)
{
    struct transaction *t = adding->transaction;
    if (adding->error != WIRE_NONE)
        return;
    if (t->core.state != TRANSACTION_ONGOING || !weir_map_find(&t->groups, group)) {
        adding->error = WIRE_INVALID_TXN_STATE;
        return;
    }
    broker_journal_put_offset(&adding->writer, t, group, topic, partition, committed);
    write_if_many(adding);
}

enum wire_error broker_transaction_add_end(struct transaction_adding *adding)
{
    if (adding->entries.bytes || adding->writer.err != WEIR_OK)
        write_added(adding);
    weir_buffer_release(&adding->entries);
    return adding->error;
}

/* May an InitProducerId go on from `expected`? *again: it has its answer already (KIP-360). */
static bool may_go_on(const struct transaction *t, struct producer expected, bool *again)
{
    const struct transaction_core *core = &t->core;
    *again = false;
    if (expected.id < 0 || core->producer.epoch < 0)
        return true;
    if (expected.id == core->producer.id && expected.epoch == core->producer.epoch)
        return true;
    *again = !is_open(t) && core->last.id == expected.id && core->last.epoch == expected.epoch;
    return *again;
}

/* The next epoch, or the next producer id when they run out. */
static enum wire_error succeed(struct weir_broker *broker, struct transaction *t,
                               int32_t timeout_ms, bool goes_on)
{
    struct transaction_core core = t->core;
    struct weir_error error = {.code = WEIR_OK};
    core.state = TRANSACTION_EMPTY;
    core.started_ms = -1;
    core.timeout_ms = timeout_ms;
    core.last = goes_on ? core.producer : (struct producer){-1, -1};
    core.producer.epoch++;
    if (core.producer.id < 0 || core.producer.epoch > EPOCH_LAST) {
        core.producer.epoch = 0;
        if (broker_journal_producer_id(broker, &core.producer.id, &error) != WEIR_OK) {
            complain(broker, t, "no producer id can be given out", &error);
            return WIRE_COORDINATOR_NOT_AVAILABLE;
        }
    }
    return move(broker, t, core);
}

enum wire_error broker_transaction_init(struct weir_broker *broker, struct weir_slice id,
                                        int32_t timeout_ms, struct producer expected,
                                        struct producer *out)
{
    enum wire_error error = WIRE_NONE;
    bool again;
    if (!id.bytes || id.bytes > TRANSACTIONAL_ID_BYTES_MAX || memchr(id.data, 0, id.bytes))
        return WIRE_INVALID_REQUEST;
    if (timeout_ms <= 0 || timeout_ms > broker->options.transaction_timeout_ms_max)
        return WIRE_INVALID_TRANSACTION_TIMEOUT;
    struct transaction *t = broker_transaction_obtain(broker, id);
    if (!t)
        return WIRE_COORDINATOR_NOT_AVAILABLE;
    if (!may_go_on(t, expected, &again))
        return WIRE_PRODUCER_FENCED;
    if (t->core.state == TRANSACTION_ONGOING)
        error = decide(broker, t, false, true);
    if (error == WIRE_NONE && is_prepared(t))
        error = finish(broker, t);
    if (error == WIRE_NONE && !again)
        error = succeed(broker, t, timeout_ms, expected.id >= 0 && t->core.producer.id >= 0);
    if (error == WIRE_NONE)
        *out = t->core.producer;
    else if (t->core.producer.id < 0)
        broker_transaction_forget(broker, t); /* it has not come to be */
    return error;
}

/* A transactional batch is taken from the one who has the id, into partitions that were added. */
enum wire_error broker_transactions_may_produce(struct weir_broker *broker, struct weir_slice id,
                                                struct weir_slice records, struct weir_slice topic,
                                                int32_t partition)
{
    uint8_t bytes[KEY_BYTES_MAX];
    struct producer producer;
    struct transaction *t;
    if (!weir_plog_is_transactional(records, &producer.id, &producer.epoch))
        return WIRE_NONE;
    if (!id.data)
        return WIRE_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
    enum wire_error error = broker_transaction_speaker(broker, id, producer, &t);
    if (error == WIRE_PRODUCER_FENCED)
        return WIRE_INVALID_PRODUCER_EPOCH;
    if (error != WIRE_NONE)
        return error;
    return t->core.state == TRANSACTION_ONGOING &&
                   weir_map_find(&t->partitions, partition_key(topic, partition, bytes))
               ? WIRE_NONE
               : WIRE_INVALID_TXN_STATE;
}

/* ---- time ------------------------------------------------------------------------------------ */

static void maintain(struct weir_broker *broker, struct transaction *t, int64_t now_ms)
{
    struct weir_error error = {.code = WEIR_OK};
    if (t->core.state == TRANSACTION_ONGOING) {
        if (now_ms - t->core.started_ms <= t->core.timeout_ms)
            return;
        weir_log(&broker->options.log, WEIR_LOG_WARN, "broker",
                 "transactional id %s: aborted, it was open for over %d ms", t->id,
                 (int)t->core.timeout_ms);
        if (decide(broker, t, false, true) == WIRE_NONE)
            finish(broker, t);
    } else if (is_prepared(t)) {
        finish(broker, t);
    } else if (now_ms - t->core.updated_ms > broker->options.transactional_id_expiration_ms) {
        if (broker_journal_forget_transaction(broker, t, &error) == WEIR_OK)
            broker_transaction_forget(broker, t);
        else
            complain(broker, t, "can't be forgotten", &error);
    }
}

void broker_transactions_maintain(struct weir_broker *broker)
{
    int64_t now_ms = weir_clock_wall_ms(broker->clock);
    for (struct weir_map_entry *e = NULL; (e = weir_map_next(&broker->transactions, e)) != NULL;)
        maintain(broker, e->value.pointer, now_ms);
    broker_connections_settle(broker); /* fetches were answered */
}

/* ---- life ------------------------------------------------------------------------------------ */

static bool is_known(const struct weir_broker *broker, const struct partition *partition,
                     const struct weir_plog_transaction *open)
{
    struct weir_slice topic = weir_slice(partition->topic->name, strlen(partition->topic->name));
    uint8_t bytes[KEY_BYTES_MAX];
    struct weir_slice key = partition_key(topic, partition->index, bytes);
    for (struct weir_map_entry *e = NULL; (e = weir_map_next(&broker->transactions, e)) != NULL;) {
        const struct transaction *t = e->value.pointer;
        /* What has another epoch was decided: its marker went with the power. */
        if (t->core.producer.id == open->producer_id)
            return is_open(t) && t->core.producer.epoch == open->producer_epoch &&
                   weir_map_find(&t->partitions, key) != NULL;
    }
    return false;
}

/* Nobody will end what the journal does not know, and readers would wait for ever. */
static void abort_unknown(struct weir_broker *broker, struct partition *partition)
{
    struct weir_plog_transaction open = {.offset_first = -1};
    while (weir_plog_transaction_after(partition->log, open.offset_first, &open)) {
        if (is_known(broker, partition, &open))
            continue;
        weir_log(&broker->options.log, WEIR_LOG_WARN, "broker",
                 "%s-%d: the transaction of producer %lld from offset %lld on is aborted: nobody "
                 "knows it",
                 partition->topic->name, (int)partition->index, (long long)open.producer_id,
                 (long long)open.offset_first);
        struct weir_plog_marker marker = {.producer_id = open.producer_id,
                                          .producer_epoch = open.producer_epoch};
        broker_transaction_mark(broker, partition, &marker);
    }
}

void broker_transactions_resume(struct weir_broker *broker)
{
    for (struct weir_map_entry *e = NULL; (e = weir_map_next(&broker->transactions, e)) != NULL;) {
        struct transaction *t = e->value.pointer;
        if (is_prepared(t))
            finish(broker, t);
    }
    for (struct weir_map_entry *e = NULL; (e = weir_map_next(&broker->topics, e)) != NULL;) {
        struct topic *topic = e->value.pointer;
        for (int32_t i = 0; i < topic->partition_count; i++)
            abort_unknown(broker, &topic->partitions[i]);
    }
}

void broker_transactions_close(struct weir_broker *broker)
{
    for (struct weir_map_entry *e = NULL; (e = weir_map_next(&broker->transactions, e)) != NULL;)
        transaction_free(broker, e->value.pointer);
    weir_map_release(&broker->transactions);
}
