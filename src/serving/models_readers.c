/*
 * serving/models_readers.c - model sets under readers that take no lock.
 *
 * Epoch-based reclamation (Fraser, "Practical lock-freedom", 2004, chapter 5). A reader publishes
 * the epoch in which it enters, then loads the current set. Publishing a new set swaps the pointer
 * first and raises the epoch afterwards; the old set is retired with the epoch before the raise. A
 * reader that entered in a later epoch loaded the pointer after the swap, so that it can't hold the
 * old set: once no reader is inside with an epoch up to that of the retired set, it is freed.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "serving/models_table.h"

enum weir_err models_reader_open(struct models *models, struct models_reader **out)
{
    for (uint32_t i = 0; i < MODELS_READERS_MAX; i++) {
        bool free = false;
        if (atomic_compare_exchange_strong(&models->readers[i].taken, &free, true)) {
            models->readers[i].models = models;
            *out = &models->readers[i];
            return WEIR_OK;
        }
    }
    return WEIR_LIMIT;
}

void models_reader_close(struct models_reader *reader)
{
    if (!reader)
        return;
    weir_assert(atomic_load(&reader->epoch) == 0);
    atomic_store(&reader->taken, false);
}

const struct model_set *models_enter(struct models_reader *reader)
{
    struct models *models = reader->models;
    weir_assert(atomic_load_explicit(&reader->epoch, memory_order_relaxed) == 0);
    /* Sequentially consistent: the epoch must be seen before the pointer is loaded. */
    atomic_store(&reader->epoch, atomic_load(&models->epoch));
    return atomic_load(&models->current);
}

void models_leave(struct models_reader *reader)
{
    atomic_store_explicit(&reader->epoch, 0, memory_order_release);
}

static int compare(const char *name, struct weir_slice data_type)
{
    size_t bytes = strlen(name), least = bytes < data_type.bytes ? bytes : data_type.bytes;
    int order = memcmp(name, data_type.data, least);
    return order ? order : (bytes > data_type.bytes) - (bytes < data_type.bytes);
}

const struct served *model_set_find(const struct model_set *set, struct weir_slice data_type)
{
    if (!set)
        return NULL;
    if (data_type.bytes == 0)
        data_type = weir_slice("wine", 4); /* as the reference system's records are */
    uint32_t low = 0, high = set->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        int order = compare(set->served[middle]->data_type, data_type);
        if (order == 0)
            return set->served[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

struct weir_scorer *served_take_scorer(const struct served *served)
{
    for (uint32_t i = 0; i < served->scorers->count; i++) {
        struct weir_scorer *scorer = atomic_exchange(&served->scorers->slots[i], NULL);
        if (scorer)
            return scorer;
    }
    return NULL;
}

void served_give_scorer(const struct served *served, struct weir_scorer *scorer)
{
    bool given = false;
    for (uint32_t i = 0; i < served->scorers->count && !given; i++) {
        struct weir_scorer *empty = NULL;
        given = atomic_compare_exchange_strong(&served->scorers->slots[i], &empty, scorer);
    }
    weir_assert(given); /* or it was given back twice */
}

/* ---- writing: the lock is held --------------------------------------------------------------- */

static struct version *version_of(const struct served *served)
{
    return served->impl;
}

static void set_free(struct models *models, struct model_set *set)
{
    for (uint32_t i = 0; set && i < set->count; i++)
        version_unref(models, version_of(set->served[i]));
    weir_free(set);
}

enum weir_err models_publish(struct models *models)
{
    struct model_set *set = weir_alloc(sizeof *set + models->type_count * sizeof(struct served *));
    struct retired *retired = weir_alloc(sizeof *retired);
    if (!set || !retired) {
        weir_free(set);
        weir_free(retired);
        return WEIR_NOMEM;
    }
    set->count = 0;
    for (uint32_t i = 0; i < models->type_count; i++) {
        struct version *version = models->types[i]->in_force;
        if (version) {
            version->references++;
            set->served[set->count++] = &version->served;
        }
    }
    *retired =
        (struct retired){.next = models->retired, .set = atomic_exchange(&models->current, set)};
    retired->epoch = atomic_fetch_add(&models->epoch, 1);
    models->retired = retired;
    pthread_cond_signal(&models->work); /* the loader reclaims */
    return WEIR_OK;
}

bool models_reclaim(struct models *models)
{
    uint64_t oldest = UINT64_MAX;
    for (uint32_t i = 0; i < MODELS_READERS_MAX; i++) {
        uint64_t epoch = atomic_load(&models->readers[i].epoch);
        if (epoch && epoch < oldest)
            oldest = epoch;
    }
    struct retired **at = &models->retired;
    while (*at) {
        struct retired *retired = *at;
        if (retired->epoch < oldest) {
            *at = retired->next;
            set_free(models, retired->set);
            weir_free(retired);
        } else {
            at = &retired->next;
        }
    }
    return models->retired != NULL;
}
