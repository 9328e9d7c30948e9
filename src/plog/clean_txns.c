/* Transactions in a cleaning: plog/clean_txns.h. */
#include "plog/clean_txns.h"

#include <stdlib.h>

#include "base/alloc.h"

enum { ENTRIES_MAX = 1 << 20 };

void weir_plog_clean_txns_init(struct plog_clean_txns *txns)
{
    *txns = (struct plog_clean_txns){0};
    weir_map_init(&txns->committed, PLOG_PRODUCERS_MAX);
}

void weir_plog_clean_txns_release(struct plog_clean_txns *txns)
{
    weir_free(txns->aborted);
    weir_map_release(&txns->committed);
}

static enum weir_err push_entry(void *opaque, const struct plog_txn_entry *entry)
{
    struct plog_clean_txns *txns = opaque;

    if (txns->count == txns->capacity) {
        uint32_t capacity = txns->capacity > 0 ? 2 * txns->capacity : 16;
        struct plog_clean_txn *grown;
        if (txns->count == ENTRIES_MAX)
            return WEIR_LIMIT;
        grown = weir_realloc_array(txns->aborted, capacity, sizeof *grown);
        if (grown == NULL)
            return WEIR_NOMEM;
        txns->aborted = grown;
        txns->capacity = capacity;
    }
    txns->aborted[txns->count++] = (struct plog_clean_txn){.entry = *entry};
    return WEIR_OK;
}

static int compare_entries(const void *a, const void *b)
{
    const struct plog_txn_entry *x = a, *y = b; /* the first members */

    if (x->producer_id != y->producer_id)
        return x->producer_id < y->producer_id ? -1 : 1;
    return (x->offset_last > y->offset_last) - (x->offset_last < y->offset_last);
}

enum weir_err weir_plog_clean_txns_load(struct plog_clean_txns *txns, struct weir_plog *log,
                                        int64_t offset_from, int64_t offset_end,
                                        struct weir_error *error)
{
    enum weir_err err =
        weir_plog_aborted_entries(log, offset_from, offset_end, push_entry, txns, error);

    if (err == WEIR_LIMIT || err == WEIR_NOMEM)
        return weir_error_set(error, err, -1, "%s: %u aborted transactions are too many to clean",
                              log->directory, (unsigned)txns->count);
    if (err == WEIR_OK && txns->count > 0)
        qsort(txns->aborted, txns->count, sizeof *txns->aborted, compare_entries);
    return err;
}

/* The producer's first aborted transaction that ends at or behind `offset`, or NULL. */
static struct plog_clean_txn *find(const struct plog_clean_txns *txns, int64_t producer_id,
                                   int64_t offset)
{
    const struct plog_txn_entry wanted = {.producer_id = producer_id, .offset_last = offset};
    uint32_t low = 0, high = txns->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (compare_entries(&txns->aborted[middle], &wanted) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < txns->count && txns->aborted[low].entry.producer_id == producer_id
               ? &txns->aborted[low]
               : NULL;
}

/* The aborted transaction that a batch of records belongs to, or NULL. */
static struct plog_clean_txn *transaction_of(const struct plog_clean_txns *txns,
                                             const struct plog_head *head)
{
    struct plog_clean_txn *txn = head->attributes & PLOG_TRANSACTIONAL
                                     ? find(txns, head->producer_id, head->offset_last)
                                     : NULL;

    return txn != NULL && txn->entry.offset_first <= head->offset_base ? txn : NULL;
}

bool weir_plog_clean_txns_is_aborted(const struct plog_clean_txns *txns,
                                     const struct plog_head *head)
{
    return transaction_of(txns, head) != NULL;
}

enum weir_err weir_plog_clean_txns_batch(struct plog_clean_txns *txns, const struct plog_head *head,
                                         bool *aborted_out)
{
    struct plog_clean_txn *txn = transaction_of(txns, head);
    struct weir_map_entry *entry;

    *aborted_out = txn != NULL;
    if (txn != NULL)
        txn->seen = true;
    else if (head->attributes & PLOG_TRANSACTIONAL)
        return weir_map_add(&txns->committed,
                            weir_slice(&head->producer_id, sizeof head->producer_id), &entry, NULL);
    return WEIR_OK;
}

bool weir_plog_clean_txns_marker(struct plog_clean_txns *txns, const struct plog_head *head,
                                 const struct plog_txn_entry **entry_out)
{
    const struct plog_clean_txn *txn = find(txns, head->producer_id, head->offset_last);
    bool committed = weir_map_remove(
        &txns->committed, weir_slice(&head->producer_id, sizeof head->producer_id), NULL);

    *entry_out = NULL;
    if (txn == NULL || txn->entry.offset_last != head->offset_last)
        return !committed;
    if (txn->seen)
        *entry_out = &txn->entry;
    return !txn->seen;
}
