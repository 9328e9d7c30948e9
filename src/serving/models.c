/*
 * serving/models.c - the table of the models topic: records to versions, versions in force.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/digest.h"
#include "serving/models_table.h"

static const struct weir_slice default_type = {"wine", 4};

/* ---- life ------------------------------------------------------------------------------------ */

enum weir_err models_new(const struct models_options *options, struct models **out)
{
    weir_assert(options->scorers >= 1 && options->scorers <= MODELS_SCORERS_MAX);
    struct models *models = weir_calloc(1, sizeof *models);
    if (!models)
        return WEIR_NOMEM;
    models->options = *options;
    models->options.schema = weir_schema_ref(options->schema);
    if (!models->options.cache_bytes)
        models->options.cache_bytes = (size_t)256 << 20;
    if (!models->options.queue_bytes)
        models->options.queue_bytes = (size_t)256 << 20;
    if (!models->options.bad_age_ns)
        models->options.bad_age_ns = 30 * WEIR_NS_PER_SECOND;
    atomic_init(&models->epoch, 1); /* 0 in a reader means outside */
    pthread_mutex_init(&models->lock, NULL);
    pthread_cond_init(&models->work, NULL);
    *out = models;
    return WEIR_OK;
}

enum weir_err models_start(struct models *models)
{
    if (pthread_create(&models->loader, NULL, models_loader_run, models) != 0)
        return WEIR_NOMEM;
    models->started = true;
    return WEIR_OK;
}

static void version_destroy(struct models *models, struct version *version)
{
    version_unload(models, version);
    weir_free(version->record);
    weir_free(version);
}

void version_unref(struct models *models, struct version *version)
{
    weir_assert(version->references > 0);
    if (--version->references == 0)
        version_destroy(models, version);
}

static void entry_free(struct models *models, struct entry *entry)
{
    if (entry->version)
        version_unref(models, entry->version);
    weir_free(entry->wanted_name);
    weir_free(entry->wanted_version);
    weir_free(entry);
}

static void type_free(struct models *models, struct data_type *type)
{
    while (type->entries) {
        struct entry *next = type->entries->next;
        entry_free(models, type->entries);
        type->entries = next;
    }
    while (type->versions) {
        struct version *next = type->versions->next;
        version_unref(models, type->versions);
        type->versions = next;
    }
    weir_free(type->name);
    weir_free(type);
}

void models_free(struct models *models)
{
    if (!models)
        return;
    if (models->started) {
        pthread_mutex_lock(&models->lock);
        models->stopping = true;
        pthread_cond_signal(&models->work);
        pthread_mutex_unlock(&models->lock);
        pthread_join(models->loader, NULL);
    }
    for (uint32_t i = 0; i < models->type_count; i++)
        models->types[i]->in_force = NULL;
    while (models->queue_first) {
        struct version *version = models->queue_first;
        models->queue_first = version->queue_next;
        version_unref(models, version);
    }
    if (atomic_load(&models->current))
        weir_assert(models_publish(models) == WEIR_OK); /* the empty set: retires the last */
    weir_assert(!models_reclaim(models));
    weir_free(atomic_load(&models->current));
    for (uint32_t i = 0; i < models->type_count; i++)
        type_free(models, models->types[i]);
    models_free_bad(models);
    weir_schema_unref(models->options.schema);
    pthread_cond_destroy(&models->work);
    pthread_mutex_destroy(&models->lock);
    weir_free(models);
}

/* ---- events ---------------------------------------------------------------------------------- */

/* Called with the lock held; lets it go while the callback runs. */
static void tell(struct models *models, const struct models_event *event)
{
    if (!models->options.on_event)
        return;
    pthread_mutex_unlock(&models->lock);
    models->options.on_event(models->options.opaque, event);
    pthread_mutex_lock(&models->lock);
}

/* ---- data types, versions, entries ----------------------------------------------------------- */

static bool text_is(const char *text, struct weir_slice slice)
{
    return strlen(text) == slice.bytes && memcmp(text, slice.data, slice.bytes) == 0;
}

/* The data type of that name, made if need be. NULL: LIMIT or NOMEM, in *error. */
static struct data_type *find_type(struct models *models, struct weir_slice name, bool make,
                                   struct weir_error *error)
{
    uint32_t at = 0;
    for (; at < models->type_count; at++) {
        struct data_type *type = models->types[at];
        if (text_is(type->name, name))
            return type;
        size_t bytes = strlen(type->name), least = bytes < name.bytes ? bytes : name.bytes;
        int order = memcmp(type->name, name.data, least);
        if (order > 0 || (order == 0 && bytes > name.bytes))
            break;
    }
    if (!make)
        return NULL;
    if (models->type_count == MODELS_TYPES_MAX) {
        weir_error_set(error, WEIR_LIMIT, -1, "there are %d data types already", MODELS_TYPES_MAX);
        return NULL;
    }
    struct data_type *type = weir_calloc(1, sizeof *type);
    char *copy = weir_strndup(name.data, name.bytes);
    if (!type || !copy) {
        weir_free(type);
        weir_free(copy);
        weir_error_set(error, WEIR_NOMEM, -1, "no memory for a data type");
        return NULL;
    }
    type->name = copy;
    memmove(&models->types[at + 1], &models->types[at],
            (models->type_count - at) * sizeof *models->types);
    models->types[at] = type;
    models->type_count++;
    return type;
}

static struct version *find_version(struct data_type *type, struct weir_slice name,
                                    struct weir_slice version, const uint8_t digest[32])
{
    for (struct version *at = type->versions; at; at = at->next)
        if (text_is(at->served.name, name) && memcmp(at->served.digest, digest, 32) == 0 &&
            (!version.bytes || text_is(at->served.version, version)))
            return at;
    return NULL;
}

static char *put_text(char **at, struct weir_slice text)
{
    char *begin = *at;
    if (text.bytes)
        memcpy(begin, text.data, text.bytes);
    begin[text.bytes] = '\0';
    *at += text.bytes + 1;
    return begin;
}

static struct version *new_version(struct data_type *type, const struct weir_descriptor *descriptor,
                                   const uint8_t digest[32], const struct weir_rows *rows,
                                   uint32_t row)
{
    char hex[65];
    weir_hex_encode(digest, 32, hex);
    struct weir_slice given = descriptor->version;
    struct weir_slice shown = given.bytes ? given : weir_slice(hex, 16);
    size_t text = strlen(type->name) + descriptor->name.bytes + descriptor->description.bytes +
                  shown.bytes + 4;
    struct version *version = weir_calloc(1, sizeof *version + text);
    if (!version)
        return NULL;
    char *at = version->text;
    struct served *served = &version->served;
    served->data_type = put_text(&at, weir_slice(type->name, strlen(type->name)));
    served->name = put_text(&at, descriptor->name);
    served->description = put_text(&at, descriptor->description);
    served->version = put_text(&at, shown);
    served->version_given = given.bytes != 0;
    served->format =
        descriptor->model_type == WEIR_DESCRIPTOR_PMML ? WEIR_FORMAT_PMML : WEIR_FORMAT_TENSORFLOW;
    memcpy(served->digest, digest, 32);
    served->partition = rows->partition;
    served->offset = rows->offset[row];
    served->since_ms = rows->timestamp_ms[row];
    served->statistics = &version->statistics;
    served->scorers = &version->scorers;
    served->impl = version;
    version->references = 1; /* the data type's list */
    version->next = type->versions;
    type->versions = version;
    return version;
}

/* Newest first: by timestamp, then partition, then offset; in one partition the offset alone. */
static bool is_newer(const struct entry *a, const struct entry *b)
{
    if (a->partition == b->partition)
        return a->offset > b->offset;
    if (a->timestamp_ms != b->timestamp_ms)
        return a->timestamp_ms > b->timestamp_ms;
    return a->partition > b->partition;
}

static void insert_entry(struct data_type *type, struct entry *entry)
{
    struct entry **at = &type->entries;
    while (*at && is_newer(*at, entry))
        at = &(*at)->next;
    entry->next = *at;
    *at = entry;
    type->entry_count++;
}

/* Takes one entry out of its list and frees it. */
static void remove_entry(struct models *models, struct data_type *type, struct entry **at)
{
    struct entry *entry = *at;
    *at = entry->next;
    type->entry_count--;
    entry_free(models, entry);
}

/* Drops versions that no entry points to any more and that are not in force. */
static void sweep_versions(struct models *models, struct data_type *type)
{
    struct version **at = &type->versions;
    while (*at) {
        struct version *version = *at;
        bool wanted = version == type->in_force;
        for (struct entry *entry = type->entries; entry && !wanted; entry = entry->next)
            wanted = entry->version == version;
        if (wanted) {
            at = &version->next;
        } else {
            *at = version->next;
            version_unref(models, version);
        }
    }
}

static struct entry *new_entry(const struct weir_rows *rows, uint32_t row)
{
    struct weir_slice key = rows->key[row];
    struct entry *entry = weir_calloc(1, sizeof *entry + key.bytes);
    if (!entry)
        return NULL;
    if (key.data) {
        memcpy(entry + 1, key.data, key.bytes);
        entry->key = weir_slice(entry + 1, key.bytes);
    }
    entry->partition = rows->partition;
    entry->offset = rows->offset[row];
    entry->timestamp_ms = rows->timestamp_ms[row];
    return entry;
}

/* ---- what is in force ------------------------------------------------------------------------ */

/* The version an entry stands for; an ACTIVATE looks for it now, since it may have come later. */
static struct version *entry_version(const struct data_type *type, const struct entry *entry)
{
    if (entry->version)
        return entry->version;
    for (struct entry *at = type->entries; at; at = at->next)
        if (at->version &&
            (!*entry->wanted_name || strcmp(at->version->served.name, entry->wanted_name) == 0) &&
            strcmp(at->version->served.version, entry->wanted_version) == 0)
            return at->version;
    return NULL;
}

/* Whether nothing is wanted of an older record any more, `version` being what the newer one stands
 * for. Of two with one key the older goes when the newer is known to be good: until then, and for
 * good if it is refused, the older serves. */
static bool supersedes(const struct data_type *type, const struct entry *newer,
                       const struct version *version, const struct entry *older)
{
    if (!newer->key.data)
        return !older->key.data && older->version && older->version == newer->version;
    if (!weir_slice_equal(older->key, newer->key))
        return false;
    if (older->version && older->version == version)
        return newer->version != NULL; /* an ACTIVATE needs the record that it names */
    const struct version *before = entry_version(type, older);
    return (before && before->state == VERSION_REFUSED) ||
           (version && version->state == VERSION_LOADED);
}

/* The caller sweeps the versions. */
static void drop_superseded(struct models *models, struct data_type *type, struct entry *newer)
{
    const struct version *version = entry_version(type, newer);
    struct entry **at = &newer->next;
    while (*at) {
        if (supersedes(type, newer, version, *at))
            remove_entry(models, type, at);
        else
            at = &(*at)->next;
    }
}

static void add_entry(struct models *models, struct data_type *type, struct entry *entry)
{
    insert_entry(type, entry);
    drop_superseded(models, type, entry);
    while (type->entry_count > MODELS_VERSIONS_MAX) {
        struct entry **oldest = &type->entries;
        weir_assert(*oldest);
        while ((*oldest)->next)
            oldest = &(*oldest)->next;
        remove_entry(models, type, oldest);
    }
    sweep_versions(models, type);
}

/* The newest record that stands for a version which may be used; NULL if there is none. */
static struct entry *candidate_entry(const struct data_type *type)
{
    for (struct entry *entry = type->entries; entry; entry = entry->next) {
        const struct version *version = entry_version(type, entry);
        if (version && version->state != VERSION_REFUSED)
            return entry;
    }
    return NULL;
}

struct version *models_candidate(const struct data_type *type)
{
    const struct entry *entry = candidate_entry(type);
    return entry ? entry_version(type, entry) : NULL;
}

static void put_in_force(struct models *models, struct data_type *type, struct version *version)
{
    struct version *before = type->in_force;
    type->in_force = version;
    if (before)
        before->used = ++models->swap_count;
    if (version) {
        version->references++; /* for the event below */
        version->activated_ms = weir_clock_wall_ms(models->options.clock);
    }
    if (before)
        before->references++;
    if (models_publish(models) != WEIR_OK) {
        type->in_force = before; /* no memory: what serves goes on serving, tried again later */
    } else {
        models->counts.swaps += version != NULL;
        struct models_event event = {.kind = version ? MODELS_IN_FORCE : MODELS_WITHDRAWN,
                                     .data_type = type->name,
                                     .name = version ? version->served.name : "",
                                     .served = version ? &version->served : NULL,
                                     .before = before ? &before->served : NULL};
        tell(models, &event);
    }
    if (version)
        version_unref(models, version);
    if (before)
        version_unref(models, before);
}

void models_settle(struct models *models, struct data_type *type)
{
    struct entry *entry = candidate_entry(type);
    struct version *wanted = entry ? entry_version(type, entry) : NULL;
    if (wanted && wanted->state == VERSION_LOADED) {
        drop_superseded(models, type, entry);
        sweep_versions(models, type);
    }
    if (wanted == type->in_force)
        return;
    if (!wanted && type->entries)
        return; /* all that is left was refused: what serves goes on serving */
    if (wanted && wanted->state == VERSION_NOT_LOADED)
        models_enqueue(models, wanted, NULL, false);
    if (!wanted || wanted->state == VERSION_LOADED) {
        put_in_force(models, type, wanted);
        sweep_versions(models, type);
    }
}

void models_settle_all(struct models *models)
{
    for (uint32_t i = 0; i < models->type_count; i++)
        models_settle(models, models->types[i]);
}

/* ---- records --------------------------------------------------------------------------------- */

static enum weir_err check_descriptor(const struct weir_descriptor *descriptor,
                                      struct weir_error *error)
{
    if (descriptor->name.bytes > MODELS_NAME_BYTES_MAX ||
        descriptor->data_type.bytes > MODELS_NAME_BYTES_MAX ||
        descriptor->version.bytes > MODELS_NAME_BYTES_MAX ||
        descriptor->description.bytes > 16 * MODELS_NAME_BYTES_MAX)
        return weir_error_set(error, WEIR_LIMIT, -1,
                              "the name, dataType or version of the model is over %d bytes",
                              MODELS_NAME_BYTES_MAX);
    if (memchr(descriptor->name.data, 0, descriptor->name.bytes) ||
        memchr(descriptor->data_type.data, 0, descriptor->data_type.bytes) ||
        memchr(descriptor->version.data, 0, descriptor->version.bytes))
        return weir_error_set(error, WEIR_INVALID, -1,
                              "the name, dataType or version of the model has a NUL byte");
    if (descriptor->action == WEIR_DESCRIPTOR_ACTIVATE)
        return descriptor->version.bytes
                   ? WEIR_OK
                   : weir_error_set(error, WEIR_INVALID, -1,
                                    "an ACTIVATE record must name the version to activate");
    if (descriptor->action != WEIR_DESCRIPTOR_ADD)
        return weir_error_set(error, WEIR_UNSUPPORTED, -1,
                              "the model's action is %d; known are 0 (ADD) and 1 (ACTIVATE)",
                              (int)descriptor->action);
    if (descriptor->location.data)
        return weir_error_set(error, WEIR_UNSUPPORTED, -1,
                              "the model is given by location, which is not yet supported; send "
                              "its content in the field data");
    if (!descriptor->data.bytes)
        return weir_error_set(error, WEIR_INVALID, -1, "the model has no content");
    if (descriptor->model_type != WEIR_DESCRIPTOR_PMML &&
        descriptor->model_type != WEIR_DESCRIPTOR_TENSORFLOW)
        return weir_error_set(error, WEIR_UNSUPPORTED, -1,
                              "the modeltype is %d; known are 0 (TENSORFLOW) and 1 (PMML)",
                              (int)descriptor->model_type);
    return WEIR_OK;
}

static enum weir_err add_activate(struct models *models, const struct weir_descriptor *descriptor,
                                  struct entry *entry, struct weir_error *error)
{
    struct data_type *type = find_type(models, descriptor->data_type, true, error);
    entry->wanted_name = weir_strndup(descriptor->name.data, descriptor->name.bytes);
    entry->wanted_version = weir_strndup(descriptor->version.data, descriptor->version.bytes);
    if (!type || !entry->wanted_name || !entry->wanted_version) {
        entry_free(models, entry);
        return type ? weir_error_set(error, WEIR_NOMEM, -1, "no memory for a model") : error->code;
    }
    add_entry(models, type, entry);
    models_settle(models, type);
    return WEIR_OK;
}

static enum weir_err add_version(struct models *models, const struct weir_descriptor *descriptor,
                                 const struct weir_rows *rows, uint32_t row, bool past_end,
                                 struct entry *entry, struct weir_error *error)
{
    uint8_t digest[32];
    weir_sha256(descriptor->data.data, descriptor->data.bytes, digest);
    struct data_type *type = NULL;
    if (descriptor->sha256.data && memcmp(descriptor->sha256.data, digest, 32) != 0)
        weir_error_set(error, WEIR_CORRUPT, -1,
                       "the model's content does not have the sha256 that its record says");
    else
        type = find_type(models, descriptor->data_type, true, error);
    struct version *version =
        type ? find_version(type, descriptor->name, descriptor->version, digest) : NULL;
    bool is_new = !version;
    if (type && is_new)
        version = new_version(type, descriptor, digest, rows, row);
    if (!version) {
        entry_free(models, entry);
        return type ? weir_error_set(error, WEIR_NOMEM, -1, "no memory for a model") : error->code;
    }
    entry->version = version;
    version->references += 2; /* the entry's, and ours until the end */
    add_entry(models, type, entry);
    if (is_new) {
        struct models_event event = {.kind = MODELS_RECEIVED,
                                     .data_type = type->name,
                                     .name = version->served.name,
                                     .served = &version->served,
                                     .partition = rows->partition,
                                     .offset = rows->offset[row]};
        tell(models, &event);
    }
    /* Only what is wanted now is loaded; the content of the rest stays in the topic. */
    if (version->state == VERSION_NOT_LOADED && models_candidate(type) == version)
        models_enqueue(models, version, models_copy_bad(rows, row), past_end);
    enum weir_err err = WEIR_OK;
    if (!is_new && version->state == VERSION_REFUSED)
        err = weir_error_set(error, version->why, -1, "%s", version->reason);
    models_settle(models, type);
    version_unref(models, version);
    return err;
}

/* A null value takes back the record with that very key, in whatever data type it is. */
static void remove_key(struct models *models, struct weir_slice key)
{
    for (uint32_t i = 0; key.data && i < models->type_count; i++) {
        struct data_type *type = models->types[i];
        bool removed = false;
        for (struct entry **at = &type->entries; *at;) {
            if (weir_slice_equal((*at)->key, key)) {
                remove_entry(models, type, at);
                removed = true;
            } else {
                at = &(*at)->next;
            }
        }
        if (!removed)
            continue;
        models_settle(models, type);
        sweep_versions(models, type);
    }
}

static enum weir_err take_row(struct models *models, const struct weir_rows *rows, uint32_t row,
                              bool past_end, struct weir_error *error)
{
    struct weir_descriptor descriptor;
    if (!rows->value[row].data) {
        remove_key(models, rows->key[row]);
        return WEIR_OK;
    }
    enum weir_err err = weir_descriptor_decode(rows->value[row], &descriptor, error);
    if (err != WEIR_OK)
        return err;
    if (!descriptor.data_type.bytes)
        descriptor.data_type = default_type;
    err = check_descriptor(&descriptor, error);
    if (err != WEIR_OK)
        return err;
    struct entry *entry = new_entry(rows, row);
    if (!entry)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a model");
    return descriptor.action == WEIR_DESCRIPTOR_ACTIVATE
               ? add_activate(models, &descriptor, entry, error)
               : add_version(models, &descriptor, rows, row, past_end, entry, error);
}

static void refuse(struct models *models, const struct weir_rows *rows, uint32_t row, bool past_end,
                   const struct weir_error *error)
{
    struct models_bad *bad = past_end ? models_copy_bad(rows, row) : NULL;
    models->counts.refused++;
    if (bad)
        models_keep_bad(models, bad, error);
    struct models_event event = {.kind = MODELS_REFUSED,
                                 .data_type = "",
                                 .name = "",
                                 .error = error,
                                 .partition = rows->partition,
                                 .offset = rows->offset[row]};
    tell(models, &event);
}

enum weir_err models_update(struct models *models, const struct weir_rows *rows, uint32_t count,
                            bool past_end, uint32_t *taken)
{
    enum weir_err err = WEIR_OK;
    uint32_t row = 0;
    pthread_mutex_lock(&models->lock);
    for (; row < count && err == WEIR_OK; row++) {
        struct weir_error error = {.code = WEIR_OK};
        if (models->queue_bytes > models->options.queue_bytes) {
            err = WEIR_AGAIN;
            break;
        }
        models->counts.received += rows->value[row].data != NULL;
        err = take_row(models, rows, row, past_end, &error);
        if (err != WEIR_OK && err != WEIR_NOMEM) {
            refuse(models, rows, row, past_end, &error);
            err = WEIR_OK;
        }
    }
    pthread_mutex_unlock(&models->lock);
    *taken = row;
    return err;
}

struct data_type *models_find_type(struct models *models, struct weir_slice name)
{
    return find_type(models, name, false, NULL);
}

bool models_ready(struct models *models)
{
    pthread_mutex_lock(&models->lock);
    bool ready = !models->queue_first && !models->loading;
    pthread_mutex_unlock(&models->lock);
    return ready;
}

/* ---- looking at it --------------------------------------------------------------------------- */

static const char *state_name(const struct version *version, bool in_force)
{
    switch (version->state) {
    case VERSION_NOT_LOADED:
        return "not-loaded";
    case VERSION_QUEUED:
        return "loading";
    case VERSION_LOADED:
        return in_force ? "in-force" : "standby";
    case VERSION_REFUSED:
        return "refused";
    }
    return "";
}

static void view_version(const struct data_type *type, const struct version *version,
                         struct models_view *view)
{
    const struct served *served = &version->served;
    bool in_force = type->in_force == version, loaded = version->state == VERSION_LOADED;
    *view =
        (struct models_view){.data_type = type->name,
                             .name = served->name,
                             .description = served->description,
                             .version = served->version,
                             .state = state_name(version, in_force),
                             .reason = version->state == VERSION_REFUSED ? version->reason : "",
                             .algorithm = loaded ? weir_model_info(served->model)->algorithm : "",
                             .digest = served->digest,
                             .format = served->format,
                             .partition = served->partition,
                             .offset = served->offset,
                             .since_ms = served->since_ms,
                             .activated_ms = version->activated_ms,
                             .load_ns = served->load_ns,
                             .bytes = loaded ? version->loaded_bytes : 0,
                             .in_force = in_force,
                             .statistics = statistics_read(&version->statistics)};
}

void models_each(struct models *models, void (*each)(void *opaque, const struct models_view *view),
                 void *opaque)
{
    pthread_mutex_lock(&models->lock);
    for (uint32_t i = 0; i < models->type_count; i++) {
        for (struct version *at = models->types[i]->versions; at; at = at->next) {
            struct models_view view;
            view_version(models->types[i], at, &view);
            each(opaque, &view);
        }
    }
    pthread_mutex_unlock(&models->lock);
}

void models_count(struct models *models, struct models_counts *out)
{
    pthread_mutex_lock(&models->lock);
    *out = models->counts;
    out->data_types = models->type_count;
    out->versions = 0;
    for (uint32_t i = 0; i < models->type_count; i++)
        for (struct version *at = models->types[i]->versions; at; at = at->next)
            out->versions++;
    pthread_mutex_unlock(&models->lock);
}
