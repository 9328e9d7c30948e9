/* streams/topology.c - building a topology. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "streams/inside.h"

const char topic_characters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789._-";

enum weir_err weir_topology_new(struct weir_topology **topology_out)
{
    struct weir_topology *topology = weir_calloc(1, sizeof *topology);
    if (!topology)
        return WEIR_NOMEM;
    *topology_out = topology;
    return WEIR_OK;
}

static void store_release(struct weir_global_store *store)
{
    weir_free((char *)(uintptr_t)store->name);
    weir_free((char *)(uintptr_t)store->source);
    weir_free((char *)(uintptr_t)store->topic);
    weir_free((char *)(uintptr_t)store->processor);
}

void weir_topology_free(struct weir_topology *topology)
{
    if (!topology)
        return;
    for (uint32_t i = 0; i < topology->node_count; i++) {
        weir_free(topology->nodes[i].name);
        weir_free(topology->nodes[i].topic);
    }
    for (uint32_t i = 0; i < topology->topic_count; i++)
        weir_free(topology->topics[i].name);
    for (uint32_t i = 0; i < topology->kind_count; i++)
        weir_free((char *)(uintptr_t)topology->kinds[i].options.name);
    for (uint32_t i = 0; i < topology->store_count; i++)
        store_release(&topology->stores[i]);
    for (uint32_t i = 0; i < topology->internal_count; i++)
        weir_free(topology->internals[i].name);
    if (topology->owned)
        topology->owned_free(topology->owned);
    weir_free(topology);
}

enum weir_err weir_processor_ops_check(const struct weir_processor_ops *ops,
                                       struct weir_error *error)
{
    if (!ops || ops->abi != WEIR_PROCESSOR_ABI)
        return weir_error_set(error, WEIR_INVALID, -1, "a processor's table must have abi %d",
                              WEIR_PROCESSOR_ABI);
    if (!ops->process_batch == !ops->process)
        return weir_error_set(error, WEIR_INVALID, -1,
                              "a processor has process_batch or process, one of the two");
    return WEIR_OK;
}

/* ---- adding ---------------------------------------------------------------------------------- */

static int32_t find_node(const struct weir_topology *topology, const char *name)
{
    for (uint32_t i = 0; i < topology->node_count; i++)
        if (strcmp(topology->nodes[i].name, name) == 0)
            return (int32_t)i;
    return -1;
}

static bool name_taken(const struct weir_topology *topology, const char *name)
{
    bool taken = find_node(topology, name) >= 0;
    for (uint32_t i = 0; i < topology->store_count && !taken; i++)
        taken = strcmp(topology->stores[i].source, name) == 0 ||
                strcmp(topology->stores[i].processor, name) == 0;
    return taken;
}

static enum weir_err check_name(const struct weir_topology *topology, const char *name,
                                struct weir_error *error)
{
    if (!name || !*name || strlen(name) > WEIR_NODE_NAME_BYTES_MAX)
        return weir_error_set(error, WEIR_INVALID, -1, "a node's name has 1 to %d bytes",
                              WEIR_NODE_NAME_BYTES_MAX);
    if (name_taken(topology, name))
        return weir_error_set(error, WEIR_EXISTS, -1, "there is a node \"%s\" already", name);
    return WEIR_OK;
}

static enum weir_err connect(struct weir_topology *topology, struct node *node,
                             const char *const *parents, uint32_t parent_count,
                             struct weir_error *error)
{
    if (parent_count == 0 || parent_count > CHILDREN_MAX)
        return weir_error_set(error, WEIR_INVALID, -1, "node \"%s\" needs 1 to %d parents",
                              node->name, CHILDREN_MAX);
    for (uint32_t i = 0; i < parent_count; i++) {
        int32_t parent = find_node(topology, parents[i]);
        if (parent < 0 || topology->nodes[parent].kind == NODE_SINK)
            return weir_error_set(error, WEIR_NOT_FOUND, -1,
                                  "node \"%s\": there is no source or processor \"%s\"", node->name,
                                  parents[i]);
        for (uint32_t j = 0; j < i; j++)
            if (node->parents[j] == (uint32_t)parent)
                return weir_error_set(error, WEIR_INVALID, -1,
                                      "node \"%s\": \"%s\" is its parent twice", node->name,
                                      parents[i]);
        if (topology->nodes[parent].child_count == CHILDREN_MAX)
            return weir_error_set(error, WEIR_LIMIT, -1, "node \"%s\" has %d children already",
                                  parents[i], CHILDREN_MAX);
        node->parents[node->parent_count++] = (uint32_t)parent;
    }
    for (uint32_t i = 0; i < node->parent_count; i++) {
        struct node *parent = &topology->nodes[node->parents[i]];
        parent->children[parent->child_count++] = topology->node_count;
    }
    return WEIR_OK;
}

static bool is_topic(const char *topic)
{
    return topic && *topic && strlen(topic) <= WEIR_KAFKA_TOPIC_BYTES_MAX;
}

/* The next free node with name and topic; it counts only when the caller says so. */
static enum weir_err begin_node(struct weir_topology *topology, enum node_kind kind,
                                const char *name, const char *topic, struct node **out,
                                struct weir_error *error)
{
    enum weir_err err = check_name(topology, name, error);
    if (err != WEIR_OK)
        return err;
    if (topology->node_count == WEIR_NODES_MAX)
        return weir_error_set(error, WEIR_LIMIT, -1, "a topology has at most %d nodes",
                              WEIR_NODES_MAX);
    if (kind == NODE_SINK && !is_topic(topic))
        return weir_error_set(error, WEIR_INVALID, -1, "node \"%s\" needs a topic", name);
    struct node *node = &topology->nodes[topology->node_count];
    *node = (struct node){.kind = kind, .name = weir_strdup(name)};
    node->topic = topic ? weir_strdup(topic) : NULL;
    if (!node->name || (topic && !node->topic)) {
        weir_free(node->name);
        weir_free(node->topic);
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for node \"%s\"", name);
    }
    *out = node;
    return WEIR_OK;
}

static enum weir_err end_node(struct weir_topology *topology, struct node *node, enum weir_err err)
{
    if (err == WEIR_OK) {
        topology->node_count++;
        return err;
    }
    weir_free(node->name);
    weir_free(node->topic);
    return err;
}

static enum weir_err add_topic(struct weir_topology *topology, const char *topic, const char *name,
                               struct weir_error *error)
{
    if (!is_topic(topic))
        return weir_error_set(error, WEIR_INVALID, -1, "node \"%s\" needs a topic", name);
    for (uint32_t i = 0; i < topology->topic_count; i++)
        if (strcmp(topology->topics[i].name, topic) == 0)
            return weir_error_set(error, WEIR_EXISTS, -1,
                                  "topic %s is read by source \"%s\" already", topic,
                                  topology->topics[i].source == topology->node_count
                                      ? name
                                      : topology->nodes[topology->topics[i].source].name);
    if (topology->topic_count == WEIR_KAFKA_SOURCES_MAX)
        return weir_error_set(error, WEIR_LIMIT, -1, "a topology reads at most %d topics",
                              WEIR_KAFKA_SOURCES_MAX);
    char *copy = weir_strdup(topic);
    if (!copy)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for node \"%s\"", name);
    topology->topics[topology->topic_count++] =
        (struct source_topic){.name = copy, .source = topology->node_count};
    return WEIR_OK;
}

enum weir_err weir_topology_add_source(struct weir_topology *topology, const char *name,
                                       const char *const *topics, uint32_t topic_count,
                                       weir_decoder_factory *decoder, void *config,
                                       struct weir_error *error)
{
    struct node *node;
    uint32_t known = topology->topic_count;
    enum weir_err err = begin_node(topology, NODE_SOURCE, name, NULL, &node, error);
    if (err != WEIR_OK)
        return err;
    if (topic_count == 0)
        err = weir_error_set(error, WEIR_INVALID, -1, "source \"%s\" needs a topic", name);
    for (uint32_t i = 0; i < topic_count && err == WEIR_OK; i++)
        err = add_topic(topology, topics[i], name, error);
    while (err != WEIR_OK && topology->topic_count > known)
        weir_free(topology->topics[--topology->topic_count].name);
    node->decoder = decoder;
    node->config = config;
    return end_node(topology, node, err);
}

/* Sources that belong together with one of these do so with all of them. */
enum weir_err weir_topology_copartition(struct weir_topology *topology, const char *const *sources,
                                        uint32_t source_count, struct weir_error *error)
{
    for (uint32_t i = 0; i < source_count; i++) {
        int32_t found = find_node(topology, sources[i]);
        if (found < 0 || topology->nodes[found].kind != NODE_SOURCE)
            return weir_error_set(error, WEIR_NOT_FOUND, -1, "there is no source \"%s\"",
                                  sources[i]);
    }
    uint32_t group = ++topology->copartition_count;
    for (uint32_t i = 0; i < source_count; i++) {
        uint32_t known = topology->nodes[find_node(topology, sources[i])].copartition;
        for (uint32_t k = 0; known && k < topology->node_count; k++)
            if (topology->nodes[k].copartition == known)
                topology->nodes[k].copartition = group;
        topology->nodes[find_node(topology, sources[i])].copartition = group;
    }
    return WEIR_OK;
}

enum weir_err weir_topology_add_processor(struct weir_topology *topology, const char *name,
                                          const struct weir_processor_ops *ops, void *config,
                                          const char *const *parents, uint32_t parent_count,
                                          struct weir_error *error)
{
    struct node *node;
    enum weir_err err = weir_processor_ops_check(ops, error);
    if (err == WEIR_OK)
        err = begin_node(topology, NODE_PROCESSOR, name, NULL, &node, error);
    if (err != WEIR_OK)
        return err;
    node->ops = ops;
    node->config = config;
    return end_node(topology, node, connect(topology, node, parents, parent_count, error));
}

enum weir_err weir_topology_add_sink(struct weir_topology *topology, const char *name,
                                     const char *topic, const char *const *parents,
                                     uint32_t parent_count, struct weir_error *error)
{
    struct node *node;
    enum weir_err err = begin_node(topology, NODE_SINK, name, topic, &node, error);
    if (err != WEIR_OK)
        return err;
    return end_node(topology, node, connect(topology, node, parents, parent_count, error));
}

enum weir_err weir_topology_set_timestamps(struct weir_topology *topology, const char *source,
                                           weir_timestamp_extractor *extractor, void *config,
                                           struct weir_error *error)
{
    int32_t found = find_node(topology, source);
    if (found < 0 || topology->nodes[found].kind != NODE_SOURCE)
        return weir_error_set(error, WEIR_NOT_FOUND, -1, "there is no source \"%s\"", source);
    topology->nodes[found].extractor = extractor;
    topology->nodes[found].extractor_config = config;
    return WEIR_OK;
}

enum weir_err weir_topology_set_serdes(struct weir_topology *topology, const char *name,
                                       const struct weir_serde *key, const struct weir_serde *value,
                                       struct weir_error *error)
{
    int32_t found = find_node(topology, name);
    if (found < 0 || topology->nodes[found].kind == NODE_PROCESSOR)
        return weir_error_set(error, WEIR_NOT_FOUND, -1, "there is no source or sink \"%s\"", name);
    topology->nodes[found].key_serde = key;
    topology->nodes[found].value_serde = value;
    topology->nodes[found].by_key = topology->nodes[found].kind == NODE_SINK;
    return WEIR_OK;
}

static bool has_store(const struct weir_topology *topology, const char *name)
{
    bool has = false;
    for (uint32_t i = 0; i < topology->store_count; i++)
        has |= strcmp(topology->stores[i].name, name) == 0;
    for (uint32_t i = 0; i < topology->kind_count; i++)
        has |= strcmp(topology->kinds[i].options.name, name) == 0;
    return has;
}

static enum weir_err check_store_name(const struct weir_topology *topology, const char *name,
                                      struct weir_error *error)
{
    if (!name || !*name || strlen(name) > WEIR_STORE_NAME_BYTES_MAX ||
        strspn(name, topic_characters) != strlen(name))
        return weir_error_set(error, WEIR_INVALID, -1,
                              "a store's name has 1 to %d letters, digits, '.', '_' and '-', for a "
                              "topic is named after it",
                              WEIR_STORE_NAME_BYTES_MAX);
    if (has_store(topology, name))
        return weir_error_set(error, WEIR_EXISTS, -1, "there is a store \"%s\" already", name);
    return WEIR_OK;
}

static enum weir_err check_store(const struct weir_topology *topology,
                                 const struct weir_store_options *options, uint32_t processor_count,
                                 struct weir_error *error)
{
    enum weir_err err = check_store_name(topology, options->name, error);
    if (err == WEIR_OK)
        err = weir_store_options_check(options, error);
    if (err != WEIR_OK)
        return err;
    if (topology->kind_count == STORES_MAX || processor_count > CHILDREN_MAX)
        return weir_error_set(error, WEIR_LIMIT, -1,
                              "a topology has at most %d stores, each of at most %d processors",
                              STORES_MAX, CHILDREN_MAX);
    return WEIR_OK;
}

enum weir_err weir_topology_add_store(struct weir_topology *topology,
                                      const struct weir_store_options *options,
                                      const char *const *processors, uint32_t processor_count,
                                      struct weir_error *error)
{
    struct topology_store store = {.options = *options};
    enum weir_err err = check_store(topology, options, processor_count, error);
    if (err != WEIR_OK)
        return err;
    for (uint32_t i = 0; i < processor_count; i++) {
        int32_t found = find_node(topology, processors[i]);
        if (found < 0 || topology->nodes[found].kind != NODE_PROCESSOR)
            return weir_error_set(error, WEIR_NOT_FOUND, -1,
                                  "store \"%s\": there is no processor \"%s\"", options->name,
                                  processors[i]);
        store.processors[store.processor_count++] = (uint32_t)found;
    }
    store.options.name = weir_strdup(options->name);
    if (!store.options.name)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for store \"%s\"", options->name);
    topology->kinds[topology->kind_count++] = store;
    return WEIR_OK;
}

enum weir_err weir_topology_connect_store(struct weir_topology *topology, const char *store,
                                          const char *processor, struct weir_error *error)
{
    int32_t node = find_node(topology, processor);
    uint32_t at = 0;
    while (at < topology->kind_count && strcmp(topology->kinds[at].options.name, store) != 0)
        at++;
    if (at == topology->kind_count || node < 0 || topology->nodes[node].kind != NODE_PROCESSOR)
        return weir_error_set(error, WEIR_NOT_FOUND, -1,
                              "there is no store \"%s\" or processor \"%s\"", store, processor);
    struct topology_store *found = &topology->kinds[at];
    for (uint32_t i = 0; i < found->processor_count; i++)
        if (found->processors[i] == (uint32_t)node)
            return WEIR_OK;
    if (found->processor_count == CHILDREN_MAX)
        return weir_error_set(error, WEIR_LIMIT, -1, "store \"%s\" has %d processors already",
                              store, CHILDREN_MAX);
    found->processors[found->processor_count++] = (uint32_t)node;
    return WEIR_OK;
}

/* ---- topics of the application's own --------------------------------------------------------- */

const struct internal_topic *topology_internal(const struct weir_topology *topology,
                                               const char *topic)
{
    for (uint32_t i = 0; i < topology->internal_count; i++)
        if (strcmp(topology->internals[i].name, topic) == 0)
            return &topology->internals[i];
    return NULL;
}

enum weir_err topology_add_internal(struct weir_topology *topology, const char *topic,
                                    int32_t partitions, struct weir_error *error)
{
    if (topology_internal(topology, topic))
        return weir_error_set(error, WEIR_EXISTS, -1, "there is a topic %s already", topic);
    if (topology->internal_count == WEIR_KAFKA_SOURCES_MAX)
        return weir_error_set(error, WEIR_LIMIT, -1, "a topology has at most %d internal topics",
                              WEIR_KAFKA_SOURCES_MAX);
    char *name = weir_strdup(topic);
    if (!name)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for topic %s", topic);
    topology->internals[topology->internal_count++] =
        (struct internal_topic){.name = name, .partitions = partitions};
    return WEIR_OK;
}

static enum weir_err rename_topic(char **name, const char *application_id, struct weir_error *error)
{
    size_t bytes = strlen(application_id) + 1 + strlen(*name) + 1;
    char *whole = weir_alloc(bytes);
    if (!whole)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a topology");
    snprintf(whole, bytes, "%s-%s", application_id, *name);
    weir_free(*name);
    *name = whole;
    if (bytes > WEIR_KAFKA_TOPIC_BYTES_MAX + 1)
        return weir_error_set(
            error, WEIR_INVALID, -1,
            "the name of topic %.60s... would have %zu bytes, and %d are allowed: "
            "choose shorter names",
            whole, bytes - 1, WEIR_KAFKA_TOPIC_BYTES_MAX);
    return WEIR_OK;
}

enum weir_err topology_name_internals(struct weir_topology *topology, const char *application_id,
                                      struct weir_error *error)
{
    enum weir_err err = WEIR_OK;
    for (uint32_t i = 0; i < topology->topic_count && err == WEIR_OK; i++)
        if (topology_internal(topology, topology->topics[i].name))
            err = rename_topic(&topology->topics[i].name, application_id, error);
    for (uint32_t i = 0; i < topology->node_count && err == WEIR_OK; i++)
        if (topology->nodes[i].kind == NODE_SINK &&
            topology_internal(topology, topology->nodes[i].topic))
            err = rename_topic(&topology->nodes[i].topic, application_id, error);
    for (uint32_t i = 0; i < topology->internal_count && err == WEIR_OK; i++)
        err = rename_topic(&topology->internals[i].name, application_id, error);
    return err;
}

enum weir_err weir_topology_add_global_store(struct weir_topology *topology,
                                             const struct weir_global_store *store,
                                             struct weir_error *error)
{
    enum weir_err err = check_name(topology, store->source, error);
    if (err == WEIR_OK)
        err = check_name(topology, store->processor, error);
    if (err != WEIR_OK)
        return err;
    if (!store->name || !*store->name || !store->topic || !*store->topic || !store->update)
        return weir_error_set(error, WEIR_INVALID, -1,
                              "a global store needs a name, a topic and an update function");
    if (has_store(topology, store->name))
        return weir_error_set(error, WEIR_EXISTS, -1, "there is a store \"%s\" already",
                              store->name);
    if (topology->store_count == STORES_MAX)
        return weir_error_set(error, WEIR_LIMIT, -1, "a topology has at most %d global stores",
                              STORES_MAX);
    struct weir_global_store *copy = &topology->stores[topology->store_count];
    *copy = *store;
    copy->name = weir_strdup(store->name);
    copy->source = weir_strdup(store->source);
    copy->topic = weir_strdup(store->topic);
    copy->processor = weir_strdup(store->processor);
    if (!copy->name || !copy->source || !copy->topic || !copy->processor) {
        store_release(copy);
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for store \"%s\"", store->name);
    }
    topology->store_place[topology->store_count++] = topology->node_count;
    return WEIR_OK;
}

/* ---- sub-topologies -------------------------------------------------------------------------- */

enum { NO_NUMBER = UINT32_MAX };

/* Gives every node that hangs together with `index` the number. */
static void spread(const struct weir_topology *topology, uint32_t index, uint32_t number,
                   uint32_t *of_node)
{
    const struct node *node = &topology->nodes[index];
    if (of_node[index] != NO_NUMBER)
        return;
    of_node[index] = number;
    for (uint32_t i = 0; i < node->child_count; i++)
        spread(topology, node->children[i], number, of_node);
    for (uint32_t i = 0; i < node->parent_count; i++)
        spread(topology, node->parents[i], number, of_node);
    for (uint32_t i = 0; i < topology->kind_count; i++) {
        const struct topology_store *kind = &topology->kinds[i];
        bool shares = false;
        for (uint32_t k = 0; k < kind->processor_count; k++)
            shares |= kind->processors[k] == index;
        for (uint32_t k = 0; k < kind->processor_count && shares; k++)
            spread(topology, kind->processors[k], number, of_node);
    }
}

void topology_number(const struct weir_topology *topology, struct sub_topologies *out)
{
    uint32_t store = 0;
    out->count = 0;
    for (uint32_t i = 0; i < WEIR_NODES_MAX; i++)
        out->of_node[i] = NO_NUMBER;
    for (uint32_t i = 0; i <= topology->node_count; i++) {
        for (; store < topology->store_count && topology->store_place[store] == i; store++)
            out->of_store[store] = out->count++;
        if (i < topology->node_count && out->of_node[i] == NO_NUMBER)
            spread(topology, i, out->count++, out->of_node);
    }
}

enum weir_err topology_check(const struct weir_topology *topology, struct weir_error *error)
{
    for (uint32_t i = 0; i < topology->kind_count; i++)
        if (topology->kinds[i].processor_count == 0)
            return weir_error_set(error, WEIR_INVALID, -1, "store \"%s\" is used by no processor",
                                  topology->kinds[i].options.name);
    return topology->topic_count
               ? WEIR_OK
               : weir_error_set(error, WEIR_INVALID, -1, "a topology needs a source to read from");
}
