/*
 * streams/store/tree.h - an ordered map of byte strings: a B+tree.
 *
 * What:    entries in the order of their keys, as memcmp has it, the shorter one first.
 *
 *      inner nodes      [ first of child | first of child | ... ]
 *      leaves       <-> [ entry | entry | entry ... ] <-> [ entry ... ] <->
 *
 *          Beside each pointer stand the first eight bytes of its key, so that a search seldom has
 *          to look at an entry.
 * Life:    tree_init -> put, find, seek, remove ... -> tree_release.
 * Threads: one at a time; find and seek only read and may run together.
 * Memory:  entries are the caller's, who makes and frees them; nodes are the tree's. A node that
 *          deletions have left nearly empty joins its neighbour.
 * Errors:  NOMEM; the tree is unchanged then.
 */
#ifndef WEIR_STREAMS_TREE_H
#define WEIR_STREAMS_TREE_H

#include <weir/base.h>

/* An entry begins with this; the key stays as it is while the entry is in a tree. */
struct tree_entry {
    struct weir_slice key;
};

struct tree_node;

struct tree {
    struct tree_node *root; /* NULL: empty */
    uint64_t count;
    uint64_t changes; /* goes up with every put and remove: cursors are not valid any more */
};

/* Allocates nothing. */
void tree_init(struct tree *tree);
/* Frees the nodes: the entries have been freed, or are, by a walk, before. The tree is empty. */
void tree_release(struct tree *tree);

/* NULL: there is none. */
struct tree_entry *tree_find(const struct tree *tree, struct weir_slice key);
/* Puts an entry in its place; *old_out is the one of the same key that it replaces, or NULL. */
WEIR_MUST_USE enum weir_err tree_put(struct tree *tree, struct tree_entry *entry,
                                     struct tree_entry **old_out);
/* Takes the entry of a key out and gives it; NULL: there was none. */
struct tree_entry *tree_remove(struct tree *tree, struct weir_slice key);

/* A place among the entries; good until tree->changes moves. */
struct tree_cursor {
    const struct tree_node *leaf;
    uint32_t index;
};
/* The first entry at or behind a key; `beyond`: behind it. A null key: the first of all. NULL:
 * there is none. */
struct tree_entry *tree_seek(const struct tree *tree, struct weir_slice key, bool beyond,
                             struct tree_cursor *cursor);
/* The last entry at or before a key; `beyond`: before it. A null key: the last of all. */
struct tree_entry *tree_seek_back(const struct tree *tree, struct weir_slice key, bool beyond,
                                  struct tree_cursor *cursor);
/* The next entry, the previous one; NULL: there is none. */
struct tree_entry *tree_next(struct tree_cursor *cursor);
struct tree_entry *tree_previous(struct tree_cursor *cursor);

/* < 0, 0, > 0: the order of keys. Neither is null. */
int tree_compare(struct weir_slice a, struct weir_slice b);

#endif
