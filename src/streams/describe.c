/*
 * streams/describe.c - a topology in the words of Kafka Streams' Topology.describe().
 *
 * Sub-topologies come by number, their nodes by size, which is the number of ways that lead down
 * from them, the largest first, then by name. In the lists of a node's parents and children the
 * sizes are those of the moment: Kafka Streams connects the nodes one by one, in the order of a
 * Java HashMap, and adds each to TreeSets of the ones before. Tools read its text, which has to be
 * the same byte for byte: so the same is done here.
 */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "streams/inside.h"

/* Text as far as it fits; counts all of it. */
struct writing {
    char *text;
    size_t capacity, bytes;
};

static void put(struct writing *writing, const char *format, ...) WEIR_PRINTF(2, 3);

static void put(struct writing *writing, const char *format, ...)
{
    bool fits = writing->bytes < writing->capacity;
    va_list args;
    va_start(args, format);
    int more = vsnprintf(fits ? writing->text + writing->bytes : NULL,
                         fits ? writing->capacity - writing->bytes : 0, format, args);
    va_end(args);
    weir_assert(more >= 0);
    writing->bytes += (size_t)more;
}

/* Where Java's HashMap puts a text: its hash code, folded. */
static uint32_t java_hash(const char *text)
{
    uint32_t hash = 0;
    for (; *text; text++)
        hash = hash * 31 + (unsigned char)*text;
    return hash ^ hash >> 16;
}

/* "[a, b]" in the order of a Java HashSet that was made of them, for that is what Kafka Streams
 * prints: by bucket, of which there are at least 4 for 3 texts. */
static void put_set(struct writing *writing, const char *const *texts, uint32_t count)
{
    uint32_t buckets = 16;
    bool any = false;
    while (buckets < count * 4 / 3 + 1)
        buckets *= 2;
    put(writing, "[");
    for (uint32_t bucket = 0; bucket < buckets; bucket++)
        for (uint32_t i = 0; i < count; i++) {
            if ((java_hash(texts[i]) & (buckets - 1)) != bucket)
                continue;
            put(writing, "%s%s", any ? ", " : "", texts[i]);
            any = true;
        }
    put(writing, "]");
}

static void put_topics(struct writing *writing, const struct weir_topology *topology,
                       uint32_t source)
{
    const char *texts[WEIR_KAFKA_SOURCES_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < topology->topic_count; i++)
        if (topology->topics[i].source == source)
            texts[count++] = topology->topics[i].name;
    put_set(writing, texts, count);
}

static void put_stores(struct writing *writing, const struct weir_topology *topology,
                       uint32_t processor)
{
    const char *texts[STORES_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < topology->kind_count; i++)
        for (uint32_t k = 0; k < topology->kinds[i].processor_count; k++)
            if (topology->kinds[i].processors[k] == processor) {
                texts[count++] = topology->kinds[i].options.name;
                break;
            }
    put_set(writing, texts, count);
}

/* ---- Kafka Streams' order -------------------------------------------------------------------- */

/* The nodes of a sub-topology as a Java HashMap has them. */
struct java_order {
    const struct weir_topology *topology;
    uint32_t nodes[WEIR_NODES_MAX], count;
    uint32_t place[WEIR_NODES_MAX]; /* by node; UINT32_MAX = of another sub-topology */
};

static void order_init(struct java_order *order, const struct weir_topology *topology,
                       const struct sub_topologies *numbers, uint32_t number)
{
    uint32_t count = 0, buckets = 16;
    *order = (struct java_order){.topology = topology};
    for (uint32_t i = 0; i < topology->node_count; i++) {
        order->place[i] = UINT32_MAX;
        count += numbers->of_node[i] == number;
    }
    while (count * 4 > buckets * 3)
        buckets *= 2;
    for (uint32_t bucket = 0; bucket < buckets; bucket++)
        for (uint32_t i = 0; i < topology->node_count; i++) {
            if (numbers->of_node[i] != number ||
                (java_hash(topology->nodes[i].name) & (buckets - 1)) != bucket)
                continue;
            order->place[i] = order->count;
            order->nodes[order->count++] = i;
        }
}

/* Sizes when the nodes before `place` are connected, and that one to so many parents. Nodes come
 * behind their parents, so that one pass is enough; capped, for ways multiply. */
static void sizes_at(const struct java_order *order, uint32_t place, uint32_t parents,
                     uint64_t *size)
{
    for (uint32_t i = 0; i < order->topology->node_count; i++)
        size[i] = 1;
    for (uint32_t i = order->topology->node_count; i-- > 0;) {
        const struct node *node = &order->topology->nodes[i];
        if (order->place[i] > place)
            continue;
        uint32_t connected = order->place[i] < place ? node->parent_count : parents;
        for (uint32_t k = 0; k < connected; k++) {
            uint64_t *up = &size[node->parents[k]];
            *up = *up + size[i] < INT32_MAX ? *up + size[i] : INT32_MAX;
        }
    }
}

static bool comes_before(const struct java_order *order, const uint64_t *size, uint32_t node,
                         uint32_t other)
{
    if (size[node] != size[other])
        return size[node] > size[other];
    return strcmp(order->topology->nodes[node].name, order->topology->nodes[other].name) < 0;
}

/* A red-black tree as java.util.TreeMap grows it: what is compared changes meanwhile, so that the
 * shape tells where a node comes to stand. */
struct tree {
    struct leaf {
        uint32_t node;
        int8_t child[2], parent; /* -1 = none */
        bool red;
    } leaves[CHILDREN_MAX];
    int8_t count, root;
};

/* Makes the child on the other side the parent of x. */
static void rotate(struct tree *tree, int8_t x, int side)
{
    struct leaf *leaves = tree->leaves;
    int8_t up = leaves[x].child[!side], inner = leaves[up].child[side], above = leaves[x].parent;
    leaves[x].child[!side] = inner;
    if (inner >= 0)
        leaves[inner].parent = x;
    leaves[up].parent = above;
    if (above < 0)
        tree->root = up;
    else
        leaves[above].child[leaves[above].child[1] == x] = up;
    leaves[up].child[side] = x;
    leaves[x].parent = up;
}

static void balance(struct tree *tree, int8_t x)
{
    struct leaf *leaves = tree->leaves;
    while (x != tree->root && leaves[leaves[x].parent].red) {
        int8_t parent = leaves[x].parent, above = leaves[parent].parent;
        int side = leaves[above].child[1] == parent;
        int8_t uncle = leaves[above].child[!side];
        leaves[above].red = true;
        if (uncle >= 0 && leaves[uncle].red) {
            leaves[parent].red = leaves[uncle].red = false;
            x = above;
            continue;
        }
        if (x == leaves[parent].child[!side]) {
            x = parent;
            rotate(tree, x, side);
        }
        leaves[leaves[x].parent].red = false;
        rotate(tree, above, !side);
    }
    leaves[tree->root].red = false;
}

static void tree_add(struct tree *tree, const struct java_order *order, const uint64_t *size,
                     uint32_t node)
{
    int8_t parent = -1, added = tree->count++, at = added > 0 ? tree->root : -1;
    int side = 0;
    while (at >= 0) {
        parent = at;
        side = !comes_before(order, size, node, tree->leaves[at].node);
        at = tree->leaves[at].child[side];
    }
    tree->leaves[added] = (struct leaf){node, {-1, -1}, parent, true};
    if (parent < 0)
        tree->root = added;
    else
        tree->leaves[parent].child[side] = added;
    balance(tree, added);
}

static void put_tree(struct writing *writing, const struct weir_topology *topology,
                     const struct tree *tree, int8_t at, bool *any)
{
    if (at < 0)
        return;
    put_tree(writing, topology, tree, tree->leaves[at].child[0], any);
    put(writing, "%s%s", *any ? ", " : " ", topology->nodes[tree->leaves[at].node].name);
    *any = true;
    put_tree(writing, topology, tree, tree->leaves[at].child[1], any);
}

/* " a, b": the parents of a node, or its children. */
static void put_neighbours(struct writing *writing, const struct java_order *order, uint32_t index,
                           bool parents)
{
    struct tree tree = {.root = -1};
    uint64_t size[WEIR_NODES_MAX] = {0};
    bool any = false;
    for (uint32_t place = 0; place < order->count; place++) {
        const struct node *node = &order->topology->nodes[order->nodes[place]];
        for (uint32_t k = 0; k < node->parent_count; k++) {
            if ((parents ? order->nodes[place] : node->parents[k]) != index)
                continue;
            sizes_at(order, place, k, size);
            tree_add(&tree, order, size, parents ? node->parents[k] : order->nodes[place]);
        }
    }
    put_tree(writing, order->topology, &tree, tree.root, &any);
    put(writing, "%s\n", any ? "" : " none");
}

/* ---- the text -------------------------------------------------------------------------------- */

static void put_node(struct writing *writing, const struct java_order *order, uint32_t index)
{
    const struct node *node = &order->topology->nodes[index];
    switch (node->kind) {
    case NODE_SOURCE:
        put(writing, "    Source: %s (topics: ", node->name);
        put_topics(writing, order->topology, index);
        put(writing, ")\n      -->");
        put_neighbours(writing, order, index, false);
        return;
    case NODE_PROCESSOR:
        put(writing, "    Processor: %s (stores: ", node->name);
        put_stores(writing, order->topology, index);
        put(writing, ")\n      -->");
        put_neighbours(writing, order, index, false);
        break;
    case NODE_SINK:
        put(writing, "    Sink: %s (topic: %s)\n", node->name, node->topic);
        break;
    }
    put(writing, "      <--");
    put_neighbours(writing, order, index, true);
}

static void put_sub_topology(struct writing *writing, const struct weir_topology *topology,
                             const struct sub_topologies *numbers, uint32_t number)
{
    struct java_order order;
    uint64_t size[WEIR_NODES_MAX] = {0};
    bool told[WEIR_NODES_MAX] = {false};
    order_init(&order, topology, numbers, number);
    sizes_at(&order, order.count, 0, size);
    put(writing, "Sub-topology: %u\n", number);
    for (uint32_t k = 0; k < order.count; k++) {
        int32_t next = -1;
        for (uint32_t i = 0; i < topology->node_count; i++)
            if (numbers->of_node[i] == number && !told[i] &&
                (next < 0 || comes_before(&order, size, i, (uint32_t)next)))
                next = (int32_t)i;
        weir_assert(next >= 0); /* there are as many as the order has */
        told[next] = true;
        put_node(writing, &order, (uint32_t)next);
    }
    put(writing, "\n");
}

static void put_store(struct writing *writing, const struct weir_global_store *store,
                      uint32_t number)
{
    put(writing,
        "Sub-topology: %u for global store (will not generate tasks)\n"
        "    Source: %s (topics: [%s])\n      --> %s\n"
        "    Processor: %s (stores: [%s])\n      --> none\n      <-- %s\n",
        number, store->source, store->topic, store->processor, store->processor, store->name,
        store->source);
}

size_t weir_topology_describe(const struct weir_topology *topology, char *text, size_t capacity)
{
    struct writing writing = {.text = text, .capacity = capacity};
    struct sub_topologies numbers;
    topology_number(topology, &numbers);
    put(&writing, "Topologies:\n ");
    for (uint32_t number = 0; number < numbers.count; number++) {
        uint32_t store = 0;
        while (store < topology->store_count && numbers.of_store[store] != number)
            store++;
        put(&writing, "  ");
        if (store < topology->store_count)
            put_store(&writing, &topology->stores[store], number);
        else
            put_sub_topology(&writing, topology, &numbers, number);
    }
    return writing.bytes;
}
