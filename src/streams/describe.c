/*
 * streams/describe.c - a topology in the words of Kafka Streams' Topology.describe().
 *
 * Sub-topologies come by number, their nodes by the number of ways that lead down from them, most
 * first, then by name.
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

/* " a, b" in order of name, as Kafka Streams has its sets. */
static void put_names(struct writing *writing, const struct weir_topology *topology,
                      const uint32_t *nodes, uint32_t count)
{
    const char *last = "";
    for (uint32_t i = 0; i < count; i++) {
        const char *next = NULL;
        for (uint32_t j = 0; j < count; j++) {
            const char *name = topology->nodes[nodes[j]].name;
            if (strcmp(name, last) > 0 && (!next || strcmp(name, next) < 0))
                next = name;
        }
        weir_assert(next); /* names are all different */
        put(writing, "%s%s", i ? ", " : " ", next);
        last = next;
    }
    put(writing, "%s\n", count ? "" : " none");
}

/* Where Java's HashMap puts a text: its hash code, folded. */
static uint32_t java_hash(const char *text)
{
    uint32_t hash = 0;
    for (; *text; text++)
        hash = hash * 31 + (unsigned char)*text;
    return hash ^ hash >> 16;
}

/* "a, b" in the order of a Java HashSet that was made of them, for that is what Kafka Streams
 * prints: by bucket, of which there are at least 4 for 3 texts. */
static void put_topics(struct writing *writing, const struct weir_topology *topology,
                       uint32_t source)
{
    uint32_t count = 0, buckets = 16;
    bool any = false;
    for (uint32_t i = 0; i < topology->topic_count; i++)
        count += topology->topics[i].source == source;
    while (buckets < count * 4 / 3 + 1)
        buckets *= 2;
    for (uint32_t bucket = 0; bucket < buckets; bucket++)
        for (uint32_t i = 0; i < topology->topic_count; i++) {
            const struct source_topic *topic = &topology->topics[i];
            if (topic->source != source || (java_hash(topic->name) & (buckets - 1)) != bucket)
                continue;
            put(writing, "%s%s", any ? ", " : "", topic->name);
            any = true;
        }
}

static void put_node(struct writing *writing, const struct weir_topology *topology, uint32_t index)
{
    const struct node *node = &topology->nodes[index];
    switch (node->kind) {
    case NODE_SOURCE:
        put(writing, "    Source: %s (topics: [", node->name);
        put_topics(writing, topology, index);
        put(writing, "])\n      -->");
        put_names(writing, topology, node->children, node->child_count);
        return;
    case NODE_PROCESSOR:
        put(writing, "    Processor: %s (stores: [])\n      -->", node->name);
        put_names(writing, topology, node->children, node->child_count);
        put(writing, "      <--");
        put_names(writing, topology, node->parents, node->parent_count);
        return;
    case NODE_SINK:
        put(writing, "    Sink: %s (topic: %s)\n      <--", node->name, node->topic);
        put_names(writing, topology, node->parents, node->parent_count);
        return;
    }
}

/* Ways down from a node, itself included; capped, for they multiply. */
static uint64_t ways_down(const struct weir_topology *topology, uint32_t index, uint64_t *known)
{
    const struct node *node = &topology->nodes[index];
    if (known[index])
        return known[index];
    uint64_t ways = 1;
    for (uint32_t i = 0; i < node->child_count; i++)
        ways += ways_down(topology, node->children[i], known);
    return known[index] = ways < INT32_MAX ? ways : INT32_MAX;
}

static void put_sub_topology(struct writing *writing, const struct weir_topology *topology,
                             const struct sub_topologies *numbers, uint32_t number)
{
    uint64_t ways[WEIR_NODES_MAX] = {0};
    bool told[WEIR_NODES_MAX] = {false};
    put(writing, "Sub-topology: %u\n", number);
    for (;;) {
        int32_t next = -1;
        for (uint32_t i = 0; i < topology->node_count; i++) {
            if (numbers->of_node[i] != number || told[i])
                continue;
            uint64_t here = ways_down(topology, i, ways);
            if (next < 0 || here > ways[next] ||
                (here == ways[next] &&
                 strcmp(topology->nodes[i].name, topology->nodes[next].name) < 0))
                next = (int32_t)i;
        }
        if (next < 0)
            break;
        told[next] = true;
        put_node(writing, topology, (uint32_t)next);
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
