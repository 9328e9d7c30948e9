/* cli/groups.c - weir groups: consumer groups of any Kafka, looked at, moved and deleted. */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/number.h"
#include "base/setting_value.h"
#include "cli/admin.h"

/* ---- list ------------------------------------------------------------------------------------ */

static void list_one(void *opaque, const char *id, const char *state)
{
    struct admin_listing *listing = opaque;
    if (listing->as_json) {
        weir_json_object_begin(&listing->json);
        weir_json_put_text(&listing->json, "group", id);
        weir_json_put_text(&listing->json, "state", state);
        weir_json_object_end(&listing->json);
    } else {
        table_cell(&listing->table, "%s", id);
        table_cell(&listing->table, "%s", state);
    }
}

static enum weir_err list(const struct admin *admin, struct weir_error *error)
{
    static const char *const heads[] = {"GROUP", "STATE", NULL};
    struct admin_listing listing;
    admin_listing_begin(admin, heads, &listing);
    enum weir_err err =
        kafka_groups_list(admin->kafka, admin->timeout_ms, list_one, &listing, error);
    return admin_listing_end(&listing, err, error);
}

/* ---- describe -------------------------------------------------------------------------------- */

/* Records that are not read yet; -1 = not known. What was deleted meanwhile does not count. */
static int64_t lag(const struct kafka_group_offset *at)
{
    if (at->committed < 0 || at->end < 0)
        return -1;
    int64_t from = at->committed < at->first ? at->first : at->committed;
    return at->end > from ? at->end - from : 0;
}

static void put_members(struct weir_json *json, const struct kafka_group *group)
{
    weir_json_key(json, "members");
    weir_json_array_begin(json);
    for (uint32_t i = 0; i < group->member_count; i++) {
        const struct kafka_member *at = &group->members[i];
        weir_json_object_begin(json);
        weir_json_put_text(json, "member", at->id);
        weir_json_put_text(json, "client", at->client_id);
        weir_json_put_text(json, "host", at->host);
        if (at->instance_id)
            weir_json_put_text(json, "instance", at->instance_id);
        weir_json_put_int(json, "partitions", at->partition_count);
        weir_json_object_end(json);
    }
    weir_json_array_end(json);
}

static enum weir_err print_group_json(const struct kafka_group *group, struct weir_error *error)
{
    struct weir_buffer text;
    struct weir_json json;
    weir_buffer_init(&text, TABLE_BYTES_MAX);
    weir_json_begin(&json, &text);
    weir_json_object_begin(&json);
    weir_json_put_text(&json, "group", group->id);
    weir_json_put_text(&json, "state", group->state);
    weir_json_put_text(&json, "assignor", group->assignor);
    put_members(&json, group);
    weir_json_key(&json, "offsets");
    weir_json_array_begin(&json);
    for (uint32_t i = 0; i < group->offset_count; i++) {
        const struct kafka_group_offset *at = &group->offsets[i];
        weir_json_object_begin(&json);
        weir_json_put_text(&json, "topic", at->topic);
        weir_json_put_int(&json, "partition", at->partition);
        weir_json_put_int(&json, "committed", at->committed);
        weir_json_put_int(&json, "end", at->end);
        weir_json_put_int(&json, "lag", lag(at));
        if (at->member >= 0)
            weir_json_put_text(&json, "member", group->members[at->member].id);
        weir_json_object_end(&json);
    }
    weir_json_array_end(&json);
    weir_json_object_end(&json);
    return admin_print_json(&json, &text, error);
}

static enum weir_err print_group(const struct kafka_group *group, struct weir_error *error)
{
    static const char *const heads[] = {"TOPIC", ">PARTITION", ">COMMITTED", ">END",
                                        ">LAG",  "CLIENT",     "HOST",       NULL};
    struct table table;
    int64_t sum = 0;
    bool all_known = true;
    printf("group %s: %s, %u member%s%s%s\n\n", group->id, group->state, group->member_count,
           group->member_count == 1 ? "" : "s", *group->assignor ? ", " : "", group->assignor);
    table_begin(&table, heads);
    for (uint32_t i = 0; i < group->offset_count; i++) {
        const struct kafka_group_offset *at = &group->offsets[i];
        const struct kafka_member *member = at->member >= 0 ? &group->members[at->member] : NULL;
        table_cell(&table, "%s", at->topic);
        table_number(&table, at->partition);
        table_number(&table, at->committed);
        table_number(&table, at->end);
        table_number(&table, lag(at));
        table_cell(&table, "%s", member ? member->client_id : "-");
        table_cell(&table, "%s", member ? member->host : "-");
        sum += lag(at) > 0 ? lag(at) : 0;
        all_known = all_known && lag(at) >= 0;
    }
    enum weir_err err = table_print(&table, error);
    printf("\n%" PRId64 " record%s not read yet%s\n", sum, sum == 1 ? "" : "s",
           all_known ? "" : ", and those where nothing is committed");
    return err;
}

static enum weir_err describe(const struct admin *admin, const char *id, struct weir_error *error)
{
    struct kafka_group *group;
    enum weir_err err = kafka_group_describe(admin->kafka, id, admin->timeout_ms, &group, error);
    if (err != WEIR_OK)
        return err;
    err = admin->json ? print_group_json(group, error) : print_group(group, error);
    kafka_group_free(group);
    return err;
}

/* ---- reset ----------------------------------------------------------------------------------- */

enum target_kind { TO_EARLIEST, TO_LATEST, TO_OFFSET, TO_TIME };

struct target {
    enum target_kind kind;
    int64_t value; /* an offset, or ms since 1970 */
};

/* "2026-01-31", "2026-01-31T12:00:00Z", "2026-01-31T12:00:00.250Z". */
static bool read_utc(const char *text, int64_t *out)
{
    struct tm parts = {0};
    int64_t ms = 0;
    const char *at = strptime(text, "%Y-%m-%d", &parts);
    if (at && *at == 'T') {
        at = strptime(at, "T%H:%M:%S", &parts);
        if (at && *at == '.') {
            at++;
            for (int64_t unit = 100; isdigit((unsigned char)*at); at++, unit /= 10)
                ms += (*at - '0') * unit;
        }
        at = at && *at == 'Z' ? at + 1 : NULL;
    }
    if (!at || *at)
        return false;
    *out = (int64_t)timegm(&parts) * 1000 + ms;
    return *out >= 0;
}

/* "-1h": so long before now. */
static bool read_ago(const char *text, int64_t *out)
{
    static const struct weir_setting row = {.name = "ago", .type = WEIR_SETTING_DURATION};
    struct weir_setting_value value;
    if (*text != '-' || weir_setting_value_parse(&row, text + 1, &value, NULL) != WEIR_OK)
        return false;
    *out = weir_clock_wall_ms(NULL) - value.integer;
    weir_setting_value_release(&value);
    return *out >= 0;
}

static bool read_target(const char *text, struct target *out)
{
    *out = (struct target){.kind = TO_TIME};
    if (strcmp(text, "earliest") == 0)
        out->kind = TO_EARLIEST;
    else if (strcmp(text, "latest") == 0)
        out->kind = TO_LATEST;
    else if (weir_parse_int64(weir_slice(text, strlen(text)), &out->value) == WEIR_OK &&
             out->value >= 0)
        out->kind = TO_OFFSET;
    else
        return read_utc(text, &out->value) || read_ago(text, &out->value);
    return true;
}

/* What moves: partitions of the group, or of a topic that it has not read yet. */
struct moves {
    struct weir_kafka_partition *to;
    int64_t *from, *first, *end;
    uint32_t count;
};

static void moves_release(struct moves *moves)
{
    weir_free(moves->to);
    weir_free(moves->from);
    *moves = (struct moves){0};
}

static enum weir_err moves_init(struct moves *moves, uint32_t count_max, struct weir_error *error)
{
    moves->to = weir_calloc(count_max + 1U, sizeof *moves->to);
    moves->from = weir_calloc(count_max + 1U, 3 * sizeof *moves->from);
    if (!moves->to || !moves->from) {
        moves_release(moves);
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for %u partitions", count_max);
    }
    moves->first = moves->from + count_max + 1;
    moves->end = moves->first + count_max + 1;
    return WEIR_OK;
}

static void add_move(struct moves *moves, const char *topic, int32_t partition, int64_t from,
                     int64_t first, int64_t end)
{
    moves->to[moves->count] = (struct weir_kafka_partition){.topic = topic, .partition = partition};
    moves->from[moves->count] = from;
    moves->first[moves->count] = first;
    moves->end[moves->count++] = end;
}

static int64_t committed(const struct kafka_group *group, const char *topic, int32_t partition)
{
    for (uint32_t i = 0; group && i < group->offset_count; i++)
        if (group->offsets[i].partition == partition && strcmp(group->offsets[i].topic, topic) == 0)
            return group->offsets[i].committed;
    return -1;
}

static enum weir_err moves_of_group(const struct kafka_group *group, struct moves *moves,
                                    struct weir_error *error)
{
    weir_assert(group);
    enum weir_err err = moves_init(moves, group->offset_count, error);
    for (uint32_t i = 0; err == WEIR_OK && i < group->offset_count; i++) {
        const struct kafka_group_offset *at = &group->offsets[i];
        if (at->end >= 0) /* else its topic is gone */
            add_move(moves, at->topic, at->partition, at->committed, at->first, at->end);
    }
    return err;
}

static enum weir_err moves_of_topic(const struct kafka_group *group,
                                    const struct kafka_topic *topic, struct moves *moves,
                                    struct weir_error *error)
{
    enum weir_err err = moves_init(moves, topic->partition_count, error);
    for (uint32_t i = 0; err == WEIR_OK && i < topic->partition_count; i++)
        if (topic->partitions[i].end >= 0)
            add_move(moves, topic->name, (int32_t)i, committed(group, topic->name, (int32_t)i),
                     topic->partitions[i].first, topic->partitions[i].end);
    return err;
}

static enum weir_err aim(const struct admin *admin, const struct target *target,
                         struct moves *moves, struct weir_error *error)
{
    if (target->kind == TO_TIME)
        return kafka_offsets_at(admin->kafka, target->value, moves->to, moves->count,
                                admin->timeout_ms, error);
    for (uint32_t i = 0; i < moves->count; i++) {
        int64_t offset = target->kind == TO_EARLIEST ? moves->first[i]
                         : target->kind == TO_LATEST ? moves->end[i]
                                                     : target->value;
        offset = offset < moves->first[i] ? moves->first[i] : offset;
        moves->to[i].offset = offset > moves->end[i] ? moves->end[i] : offset;
    }
    return WEIR_OK;
}

static enum weir_err print_moves(const struct admin *admin, const struct moves *moves,
                                 struct weir_error *error)
{
    static const char *const heads[] = {"TOPIC", ">PARTITION", ">FROM", ">TO", ">END", NULL};
    struct table table;
    struct weir_buffer text;
    struct weir_json json;
    if (!admin->json) {
        table_begin(&table, heads);
        for (uint32_t i = 0; i < moves->count; i++) {
            table_cell(&table, "%s", moves->to[i].topic);
            table_number(&table, moves->to[i].partition);
            table_number(&table, moves->from[i]);
            table_number(&table, moves->to[i].offset);
            table_number(&table, moves->end[i]);
        }
        return table_print(&table, error);
    }
    weir_buffer_init(&text, TABLE_BYTES_MAX);
    weir_json_begin(&json, &text);
    weir_json_array_begin(&json);
    for (uint32_t i = 0; i < moves->count; i++) {
        weir_json_object_begin(&json);
        weir_json_put_text(&json, "topic", moves->to[i].topic);
        weir_json_put_int(&json, "partition", moves->to[i].partition);
        weir_json_put_int(&json, "from", moves->from[i]);
        weir_json_put_int(&json, "to", moves->to[i].offset);
        weir_json_put_int(&json, "end", moves->end[i]);
        weir_json_object_end(&json);
    }
    weir_json_array_end(&json);
    return admin_print_json(&json, &text, error);
}

static enum weir_err move(const struct admin *admin, const char *id, const struct target *target,
                          struct moves *moves, struct weir_error *error)
{
    bool dry = weir_settings_bool(admin->run->settings, "admin.dry.run");
    if (!moves->count)
        return weir_error_set(error, WEIR_NOT_FOUND, -1,
                              "group %s has committed nothing that could be moved; --topic TOPIC "
                              "sets it for all partitions of a topic",
                              id);
    enum weir_err err = aim(admin, target, moves, error);
    if (err == WEIR_OK && !dry)
        err =
            kafka_group_commit(admin->kafka, id, moves->to, moves->count, admin->timeout_ms, error);
    if (err == WEIR_OK)
        err = print_moves(admin, moves, error);
    if (err == WEIR_OK && dry && !admin->json)
        printf("\nnothing was done (--dry-run)\n");
    return err;
}

static enum weir_err reset(const struct admin *admin, const char *id, const struct target *target,
                           struct weir_error *error)
{
    const char *name = weir_settings_string(admin->run->settings, "group.topic");
    struct kafka_group *group = NULL;
    struct kafka_topic *topic = NULL;
    struct moves moves = {0};
    enum weir_err err = kafka_group_describe(admin->kafka, id, admin->timeout_ms, &group, error);
    if (err == WEIR_NOT_FOUND && name)
        err = WEIR_OK; /* a group that has not begun yet */
    else if (err == WEIR_NOT_FOUND)
        weir_error_set(error, err, -1,
                       "there is no group %s (weir groups list shows them); --topic TOPIC sets "
                       "where a new one begins",
                       id);
    if (err == WEIR_OK && group && group->member_count)
        err = weir_error_set(error, WEIR_IN_USE, -1,
                             "group %s has %u members: stop its consumers first", id,
                             group->member_count);
    if (err == WEIR_OK && name)
        err = kafka_topic_describe(admin->kafka, name, admin->timeout_ms, &topic, error);
    if (err == WEIR_OK)
        err = topic ? moves_of_topic(group, topic, &moves, error)
                    : moves_of_group(group, &moves, error);
    if (err == WEIR_OK)
        err = move(admin, id, target, &moves, error);
    moves_release(&moves);
    kafka_topic_free(topic);
    kafka_group_free(group);
    return err;
}

/* ---- the command ----------------------------------------------------------------------------- */

enum verb { LIST, DESCRIBE, RESET, DELETE, VERBS };

static enum weir_err delete_group(const struct admin *admin, const char *id,
                                  struct weir_error *error)
{
    char question[320];
    snprintf(question, sizeof question, "Delete group %.200s with its committed offsets?", id);
    enum weir_err err = admin_confirm(admin->run, question, error);
    if (err == WEIR_OK)
        err = kafka_group_delete(admin->kafka, id, admin->timeout_ms, error);
    if (err == WEIR_OK)
        printf("group %s was deleted\n", id);
    return err;
}

static int run_verb(const struct run *run, enum verb verb, const char *id,
                    const struct target *target)
{
    struct weir_error error = {.code = WEIR_OK};
    struct admin admin;
    enum weir_err err = admin_open(run, &admin, &error);
    if (err == WEIR_OK) {
        err = verb == LIST       ? list(&admin, &error)
              : verb == DESCRIBE ? describe(&admin, id, &error)
              : verb == RESET    ? reset(&admin, id, target, &error)
                                 : delete_group(&admin, id, &error);
        admin_close(&admin);
    }
    return err == WEIR_OK ? EXIT_DONE : fail(run, &error);
}

int groups_run(const struct run *run)
{
    static const char *const verbs[VERBS] = {"list", "describe", "reset", "delete"};
    const char *word = weir_settings_argument(run->settings, 0);
    const char *to = weir_settings_string(run->settings, "group.reset.to");
    bool named = weir_settings_argument_count(run->settings) > 1;
    const char *id = named ? weir_settings_argument(run->settings, 1) : NULL;
    struct target target = {0};
    int verb = 0;
    while (verb < VERBS && strcmp(word, verbs[verb]) != 0)
        verb++;
    if (verb == VERBS)
        return fail_usage(run, "\"%s\" is none of list, describe, reset and delete", word);
    if (verb == LIST && named)
        return fail_usage(run, "\"%s\" is one word too many", id);
    if (verb != LIST && (!named || !*id))
        return fail_usage(run, "%s which group? A name is missing", word);
    if (verb == RESET && !to)
        return fail_usage(run, "reset to where? Give --to earliest, latest, an offset or a time");
    if (verb == RESET && !read_target(to, &target))
        return fail_usage(run,
                          "--to %s: expected earliest, latest, an offset, a time as "
                          "2026-01-31T12:00:00Z, or -1h for an hour ago",
                          to);
    return run_verb(run, (enum verb)verb, id, &target);
}
