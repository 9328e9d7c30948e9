/*
 * A B+tree; what it is stands in tree.h.
 *
 * On the way down to a put, full nodes are split before they are entered: so there is always room
 * for what comes up from below, and a failed allocation leaves a sound tree.
 */
#include "streams/store/tree.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

enum {
    SLOTS = 64,
    JOIN_BELOW = SLOTS / 4, /* a node with fewer slots may join its neighbour */
    DEPTH_MAX = 16,         /* 32^16 entries */
};

struct tree_node {
    uint32_t count;
    bool is_leaf;
    uint64_t prefix[SLOTS];
    struct tree_entry *first[SLOTS];   /* a leaf's entries; of a child, its first one */
    struct tree_node *next, *previous; /* of a leaf */
    struct tree_node *child[];         /* [SLOTS], of an inner node */
};

/* The nodes from the root to a leaf, and which slot was taken in each. */
struct path {
    struct tree_node *node[DEPTH_MAX];
    uint32_t index[DEPTH_MAX];
    uint32_t depth;
};

/* ---- keys ------------------------------------------------------------------------------------ */

int tree_compare(struct weir_slice a, struct weir_slice b)
{
    size_t common = a.bytes < b.bytes ? a.bytes : b.bytes;
    int order = common > 0 ? memcmp(a.data, b.data, common) : 0;

    if (order != 0)
        return order;
    return (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

/* The first eight bytes as a number; what is missing is 0, and the whole keys decide then. */
static uint64_t prefix_of(struct weir_slice key)
{
    const uint8_t *at = key.data;
    uint64_t prefix = 0;

    if (key.bytes >= 8) {
        memcpy(&prefix, at, 8);
        return __builtin_bswap64(prefix);
    }
    for (size_t i = 0; i < key.bytes; i++)
        prefix |= (uint64_t)at[i] << (56 - 8 * i);
    return prefix;
}

/* How many slots come before the key; or_equal: that one, too. */
static uint32_t rank(const struct tree_node *node, struct weir_slice key, bool or_equal)
{
    const uint64_t prefix = prefix_of(key);
    uint32_t low = 0, high = node->count;

    while (low < high) {
        uint32_t middle = (low + high) / 2;
        bool before;
        if (node->prefix[middle] != prefix)
            before = node->prefix[middle] < prefix;
        else
            before = tree_compare(node->first[middle]->key, key) < (or_equal ? 1 : 0);
        if (before)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static struct tree_node *node_new(bool is_leaf)
{
    size_t children = is_leaf ? 0 : SLOTS * sizeof(struct tree_node *);
    struct tree_node *node = weir_alloc(sizeof *node + children);

    if (node != NULL) {
        node->count = 0;
        node->is_leaf = is_leaf;
        node->next = node->previous = NULL;
    }
    return node;
}

static void set_slot(struct tree_node *node, uint32_t index, struct tree_entry *first)
{
    node->first[index] = first;
    node->prefix[index] = prefix_of(first->key);
}

/* Moves `count` slots; the two may be one node. */
static void move_slots(struct tree_node *to, uint32_t to_index, const struct tree_node *from,
                       uint32_t from_index, uint32_t count)
{
    memmove(to->prefix + to_index, from->prefix + from_index, count * sizeof *to->prefix);
    memmove(to->first + to_index, from->first + from_index, count * sizeof(struct tree_entry *));
    if (!from->is_leaf)
        memmove(to->child + to_index, from->child + from_index, count * sizeof(struct tree_node *));
}

/* Opens a slot; the caller fills it. */
static void open_slot(struct tree_node *node, uint32_t index)
{
    move_slots(node, index + 1, node, index, node->count - index);
    node->count++;
}

static void close_slot(struct tree_node *node, uint32_t index)
{
    move_slots(node, index, node, index + 1, node->count - index - 1);
    node->count--;
}

static void link_behind(struct tree_node *leaf, struct tree_node *added)
{
    added->next = leaf->next;
    added->previous = leaf;
    if (leaf->next != NULL)
        leaf->next->previous = added;
    leaf->next = added;
}

static void unlink_leaf(struct tree_node *leaf)
{
    if (leaf->previous != NULL)
        leaf->previous->next = leaf->next;
    if (leaf->next != NULL)
        leaf->next->previous = leaf->previous;
}

/* Keys mostly come in order: then the left half stays nearly full. */
static bool split(struct tree_node *parent, uint32_t index, bool at_end)
{
    struct tree_node *node = parent->child[index], *right = node_new(node->is_leaf);
    uint32_t keep = at_end ? SLOTS - SLOTS / 8 : SLOTS / 2;

    if (right == NULL)
        return false;
    right->count = node->count - keep;
    move_slots(right, 0, node, keep, right->count);
    node->count = keep;
    if (node->is_leaf)
        link_behind(node, right);
    open_slot(parent, index + 1);
    set_slot(parent, index + 1, right->first[0]);
    parent->child[index + 1] = right;
    return true;
}

static bool grow_root(struct tree *tree)
{
    struct tree_node *root = node_new(false);

    if (root == NULL)
        return false;
    root->count = 1;
    set_slot(root, 0, tree->root->first[0]);
    root->child[0] = tree->root;
    if (!split(root, 0, false)) {
        weir_free(root);
        return false;
    }
    tree->root = root;
    return true;
}

/* ---- paths ----------------------------------------------------------------------------------- */

/* The slot of an inner node whose child would hold the key. */
static uint32_t child_of(const struct tree_node *node, struct weir_slice key)
{
    uint32_t slot = rank(node, key, true);

    return slot > 0 ? slot - 1 : 0;
}

static void path_to(const struct tree *tree, struct weir_slice key, struct path *path)
{
    struct tree_node *node = tree->root;

    path->depth = 0;
    while (!node->is_leaf) {
        uint32_t slot = child_of(node, key);
        path->node[path->depth] = node;
        path->index[path->depth++] = slot;
        node = node->child[slot];
    }
    path->node[path->depth] = node;
    path->index[path->depth] = rank(node, key, false);
}

/* The first entry of the path's last node is another one: its parents are told. */
static void first_changed(const struct path *path, uint32_t depth)
{
    struct tree_entry *first = path->node[depth]->first[0];

    while (depth > 0) {
        depth--;
        set_slot(path->node[depth], path->index[depth], first);
        if (path->index[depth] > 0)
            return;
    }
}

/* path_to, with room for one more slot in each node of the path. */
static bool path_with_room(struct tree *tree, struct weir_slice key, struct path *path)
{
    if (tree->root->count == SLOTS && !grow_root(tree))
        return false;
    struct tree_node *node = tree->root;
    path->depth = 0;
    while (!node->is_leaf) {
        uint32_t slot = child_of(node, key);
        if (node->child[slot]->count == SLOTS) {
            if (!split(node, slot, slot + 1 == node->count))
                return false;
            slot = child_of(node, key);
        }
        weir_assert(path->depth + 1 < DEPTH_MAX);
        path->node[path->depth] = node;
        path->index[path->depth++] = slot;
        node = node->child[slot];
    }
    path->node[path->depth] = node;
    path->index[path->depth] = rank(node, key, false);
    return true;
}

/* ---- the map --------------------------------------------------------------------------------- */

void tree_init(struct tree *tree)
{
    *tree = (struct tree){.root = NULL};
}

static void free_nodes(struct tree_node *node)
{
    if (node == NULL)
        return;
    for (uint32_t i = 0; !node->is_leaf && i < node->count; i++)
        free_nodes(node->child[i]); /* as deep as the tree: a few levels */
    weir_free(node);
}

void tree_release(struct tree *tree)
{
    free_nodes(tree->root);
    tree_init(tree);
}

static bool is_at(const struct tree_node *leaf, uint32_t index, struct weir_slice key)
{
    return index < leaf->count && tree_compare(leaf->first[index]->key, key) == 0;
}

struct tree_entry *tree_find(const struct tree *tree, struct weir_slice key)
{
    const struct tree_node *node = tree->root;

    if (node == NULL)
        return NULL;
    while (!node->is_leaf)
        node = node->child[child_of(node, key)];
    uint32_t index = rank(node, key, false);
    return is_at(node, index, key) ? node->first[index] : NULL;
}

enum weir_err tree_put(struct tree *tree, struct tree_entry *entry, struct tree_entry **old_out)
{
    struct path path;

    if (tree->root == NULL && (tree->root = node_new(true)) == NULL)
        return WEIR_NOMEM;
    if (!path_with_room(tree, entry->key, &path))
        return WEIR_NOMEM;
    struct tree_node *leaf = path.node[path.depth];
    uint32_t index = path.index[path.depth];
    *old_out = NULL;
    if (is_at(leaf, index, entry->key)) {
        *old_out = leaf->first[index];
    } else {
        open_slot(leaf, index);
        tree->count++;
    }
    set_slot(leaf, index, entry);
    if (index == 0)
        first_changed(&path, path.depth);
    tree->changes++;
    return WEIR_OK;
}

/* The node at `depth` of the path has lost its last slot. */
static void remove_empty(struct tree *tree, const struct path *path, uint32_t depth)
{
    struct tree_node *node = path->node[depth];

    if (node->is_leaf)
        unlink_leaf(node);
    weir_free(node);
    if (depth == 0) {
        tree->root = NULL;
        return;
    }
    depth--;
    close_slot(path->node[depth], path->index[depth]);
    if (path->node[depth]->count == 0)
        remove_empty(tree, path, depth);
    else if (path->index[depth] == 0)
        first_changed(path, depth);
}

/* A node that has become small takes in its right neighbour, or is taken in by its left one. */
static void join(struct tree_node *parent, uint32_t index)
{
    uint32_t left_index = index + 1 < parent->count ? index : index - 1;
    struct tree_node *left = parent->child[left_index], *right = parent->child[left_index + 1];

    if (left->count + right->count > SLOTS / 2)
        return;
    move_slots(left, left->count, right, 0, right->count);
    left->count += right->count;
    if (right->is_leaf)
        unlink_leaf(right);
    weir_free(right);
    close_slot(parent, left_index + 1);
}

static void shrink(const struct path *path)
{
    for (uint32_t depth = path->depth; depth > 0; depth--) {
        struct tree_node *parent = path->node[depth - 1];
        if (path->node[depth]->count >= JOIN_BELOW || parent->count < 2)
            break;
        join(parent, path->index[depth - 1]);
    }
}

static void lower_root(struct tree *tree)
{
    while (tree->root != NULL && !tree->root->is_leaf && tree->root->count == 1) {
        struct tree_node *old = tree->root;
        tree->root = old->child[0];
        weir_free(old);
    }
}

struct tree_entry *tree_remove(struct tree *tree, struct weir_slice key)
{
    struct path path;

    if (tree->root == NULL)
        return NULL;
    path_to(tree, key, &path);
    struct tree_node *leaf = path.node[path.depth];
    uint32_t index = path.index[path.depth];
    if (!is_at(leaf, index, key))
        return NULL;
    struct tree_entry *entry = leaf->first[index];
    close_slot(leaf, index);
    tree->count--;
    tree->changes++;
    if (leaf->count == 0) {
        remove_empty(tree, &path, path.depth);
    } else {
        if (index == 0)
            first_changed(&path, path.depth);
        shrink(&path);
    }
    lower_root(tree);
    return entry;
}

/* ---- cursors --------------------------------------------------------------------------------- */

static struct tree_entry *entry_at(const struct tree_cursor *cursor)
{
    return cursor->leaf != NULL ? cursor->leaf->first[cursor->index] : NULL;
}

static const struct tree_node *edge_leaf(const struct tree *tree, bool last)
{
    const struct tree_node *node = tree->root;

    while (!node->is_leaf)
        node = node->child[last ? node->count - 1 : 0];
    return node;
}

struct tree_entry *tree_seek(const struct tree *tree, struct weir_slice key, bool beyond,
                             struct tree_cursor *cursor)
{
    cursor->leaf = NULL;
    cursor->index = 0;
    if (tree->root == NULL)
        return NULL;
    if (key.data == NULL) {
        cursor->leaf = edge_leaf(tree, false);
        return entry_at(cursor);
    }
    const struct tree_node *node = tree->root;
    while (!node->is_leaf)
        node = node->child[child_of(node, key)];
    cursor->leaf = node;
    cursor->index = rank(node, key, beyond);
    if (cursor->index == node->count) {
        cursor->leaf = node->next;
        cursor->index = 0;
    }
    return entry_at(cursor);
}

struct tree_entry *tree_seek_back(const struct tree *tree, struct weir_slice key, bool beyond,
                                  struct tree_cursor *cursor)
{
    cursor->leaf = NULL;
    cursor->index = 0;
    if (tree->root == NULL)
        return NULL;
    if (key.data == NULL) {
        cursor->leaf = edge_leaf(tree, true);
        cursor->index = cursor->leaf->count - 1;
        return entry_at(cursor);
    }
    const struct tree_node *node = tree->root;
    while (!node->is_leaf)
        node = node->child[child_of(node, key)];
    cursor->leaf = node;
    cursor->index = rank(node, key, !beyond);
    return tree_previous(cursor);
}

struct tree_entry *tree_next(struct tree_cursor *cursor)
{
    if (cursor->leaf != NULL && ++cursor->index == cursor->leaf->count) {
        cursor->leaf = cursor->leaf->next;
        cursor->index = 0;
    }
    return entry_at(cursor);
}

struct tree_entry *tree_previous(struct tree_cursor *cursor)
{
    if (cursor->leaf == NULL)
        return NULL;
    if (cursor->index == 0) {
        cursor->leaf = cursor->leaf->previous;
        cursor->index = cursor->leaf != NULL ? cursor->leaf->count : 0;
    }
    cursor->index -= cursor->leaf != NULL;
    return entry_at(cursor);
}
