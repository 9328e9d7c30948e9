/*
 * Event-sourced actors: a behaviour around the behaviour, with a journal below.
 *
 *      LOADING --> READING --> READY --command with events--> APPENDING --> READY ...
 *      the journal's snapshot  its events                     the journal's word
 *
 * In all other states than READY commands go to the stash. What a journal is asked is a promise of
 * its own memory, which becomes the message that brings the answer: it outlives a restart, and is
 * of no interest then. An answer always finds room in the mailbox, or commands could keep it out.
 */
#include <string.h>

#include "base/alloc.h"
#include "flow/actor/inside.h"

#include <weir/flow_persistence.h>

enum persistent_phase { LOADING, READING, READY, APPENDING };

struct weir_journal_promise {
    struct weir_message message;
    struct weir_actor_ref *ref;
    struct weir_journal_page asked;    /* what is to be written */
    struct weir_journal_page answered; /* one piece of memory */
    struct weir_error error;
};

struct persistent {
    const struct weir_persistent_options *options;
    void *state;
    enum persistent_phase phase;
    uint64_t sequence, snapshot_sequence; /* of the last event; of the last one in a snapshot */
    struct weir_journal_promise *work;    /* the answer that the phase waits for */
    struct weir_journal_promise *saving;  /* a snapshot under way */
    struct weir_message *command;         /* in hand, or waiting for its events */
    struct weir_message *stash, *last_stashed;
    uint32_t stash_count;
    /* Events of the command in hand. */
    struct weir_slice *events;
    uint32_t event_count, event_capacity;
    size_t event_bytes;
};

/* ---- promises -------------------------------------------------------------------------------- */

static void free_items(struct weir_journal_page *page)
{
    weir_free((void *)(uintptr_t)page->items);
    *page = (struct weir_journal_page){.count = 0};
}

static void promise_drop(struct weir_message *message)
{
    struct weir_journal_promise *promise = (struct weir_journal_promise *)message;

    weir_actor_ref_free(promise->ref);
    free_items(&promise->asked);
    free_items(&promise->answered);
    weir_free(promise);
}

static const struct weir_message_type promise_type = {"journal", promise_drop, NULL, NULL};

/* A copy in one piece of memory; false: there is none. */
static bool copy_page(const struct weir_journal_page *from, struct weir_journal_page *to)
{
    size_t bytes = from->count * sizeof *from->items;
    struct weir_slice *items;
    uint8_t *at;

    for (uint32_t i = 0; i < from->count; i++)
        bytes += from->items[i].bytes;
    *to = (struct weir_journal_page){.sequence = from->sequence, .count = from->count};
    if (from->count == 0)
        return true;
    items = weir_alloc(bytes);
    if (items == NULL)
        return false;
    at = (uint8_t *)(items + from->count);
    for (uint32_t i = 0; i < from->count; i++) {
        items[i] = weir_slice(at, from->items[i].bytes);
        if (from->items[i].bytes > 0)
            memcpy(at, from->items[i].data, from->items[i].bytes);
        at += from->items[i].bytes;
    }
    to->items = items;
    return true;
}

static struct weir_journal_promise *promise_new(struct weir_actor *actor,
                                                const struct weir_journal_page *asked)
{
    struct weir_journal_promise *promise = weir_calloc(1, sizeof *promise);

    if (promise == NULL)
        return NULL;
    promise->message.type = &promise_type;
    if (asked != NULL && !copy_page(asked, &promise->asked)) {
        weir_free(promise);
        return NULL;
    }
    promise->ref = weir_actor_ref_share(weir_actor_self(actor));
    return promise;
}

void weir_journal_answer(struct weir_journal_promise *promise, const struct weir_journal_page *page,
                         const struct weir_error *error)
{
    struct weir_actor_ref *ref;

    if (error != NULL)
        promise->error = *error;
    else if (page != NULL && !copy_page(page, &promise->answered))
        (void)weir_error_set(&promise->error, WEIR_NOMEM, -1,
                             "actor: no memory for what its journal says");
    /* The promise, and the last ref with it, may be gone before the actor is woken. */
    ref = weir_actor_ref_share(promise->ref);
    if (!actor_tell_always(ref, &promise->message))
        promise_drop(&promise->message);
    weir_actor_ref_free(ref);
}

static enum weir_err no_promise(struct weir_error *error)
{
    return weir_error_set(error, WEIR_NOMEM, -1, "actor: no memory to ask its journal");
}

/* ---- recovery -------------------------------------------------------------------------------- */

static enum weir_err fresh_state(struct persistent *self, struct weir_actor *actor,
                                 struct weir_error *error)
{
    const struct weir_persistent_ops *ops = self->options->ops;

    memset(self->state, 0, ops->state_bytes);
    self->sequence = self->snapshot_sequence = 0;
    return ops->start != NULL ? ops->start(self->state, actor, error) : WEIR_OK;
}

static enum weir_err read_on(struct persistent *self, struct weir_actor *actor,
                             struct weir_error *error)
{
    const struct weir_persistent_options *options = self->options;

    self->phase = READING;
    self->work = promise_new(actor, NULL);
    if (self->work == NULL)
        return no_promise(error);
    options->journal->read(options->journal_self, options->id, self->sequence + 1, self->work);
    return WEIR_OK;
}

/* The snapshot, if there is one that can be used; then what lies behind it. */
static enum weir_err loaded(struct persistent *self, struct weir_actor *actor,
                            const struct weir_journal_promise *answer, struct weir_error *error)
{
    const struct weir_persistent_ops *ops = self->options->ops;
    struct weir_error why = answer->error;
    enum weir_err err = why.code;

    if (err == WEIR_OK && answer->answered.count > 0 && ops->restore != NULL) {
        err = ops->restore(self->state, answer->answered.items[0], &why);
        if (err == WEIR_OK) {
            self->sequence = self->snapshot_sequence = answer->answered.sequence;
        } else {
            if (ops->stop != NULL)
                ops->stop(self->state, actor);
            if (fresh_state(self, actor, error) != WEIR_OK)
                return error->code;
        }
    }
    if (err != WEIR_OK)
        weir_log(&weir_actor_system(actor)->options.log, WEIR_LOG_WARN, "actor",
                 "%s: its snapshot is of no use, all events are read: %s", self->options->id,
                 why.message);
    return read_on(self, actor, error);
}

static enum weir_err apply(struct persistent *self, const struct weir_journal_page *page,
                           struct weir_error *error)
{
    if (page->sequence != self->sequence + 1)
        return weir_error_set(error, WEIR_INVALID, -1,
                              "actor: the journal of %s goes on with event %llu behind %llu",
                              self->options->id, (unsigned long long)page->sequence,
                              (unsigned long long)self->sequence);
    for (uint32_t i = 0; i < page->count; i++) {
        enum weir_err err = self->options->ops->event(self->state, page->items[i], error);
        if (err != WEIR_OK)
            return err;
        self->sequence++;
    }
    return WEIR_OK;
}

static enum weir_err read_some(struct persistent *self, struct weir_actor *actor,
                               const struct weir_journal_promise *answer, struct weir_error *error)
{
    enum weir_err err;

    if (answer->error.code != WEIR_OK) {
        *error = answer->error;
        return error->code;
    }
    if (answer->answered.count == 0) {
        self->phase = READY;
        return WEIR_OK;
    }
    err = apply(self, &answer->answered, error);
    return err == WEIR_OK ? read_on(self, actor, error) : err;
}

/* ---- commands -------------------------------------------------------------------------------- */

static void forget_events(struct persistent *self)
{
    for (; self->event_count > 0; self->event_count--)
        weir_free((void *)(uintptr_t)self->events[self->event_count - 1].data);
    weir_free(self->events);
    self->events = NULL;
    self->event_capacity = 0;
    self->event_bytes = 0;
}

static void command_done(struct persistent *self, struct weir_actor *actor)
{
    struct weir_message *command = self->command;

    if (self->options->ops->done != NULL)
        self->options->ops->done(self->state, actor, command);
    self->command = NULL;
    weir_message_drop(command);
}

static enum weir_err run_command(struct persistent *self, struct weir_actor *actor,
                                 struct weir_message *command, struct weir_error *error)
{
    const struct weir_persistent_options *options = self->options;
    enum weir_err err;

    self->command = command;
    err = options->ops->command(self->state, actor, command, error);
    if (err == WEIR_OK && self->event_count > 0) {
        const struct weir_journal_page page = {
            .sequence = self->sequence + 1, .items = self->events, .count = self->event_count};
        self->work = promise_new(actor, &page);
        err = self->work != NULL ? WEIR_OK : no_promise(error);
    }
    forget_events(self);
    if (err != WEIR_OK) {
        self->command = NULL;
        weir_message_drop(command);
        return err;
    }
    if (self->work == NULL) {
        command_done(self, actor);
        return WEIR_OK;
    }
    self->phase = APPENDING;
    options->journal->append(options->journal_self, options->id, &self->work->asked, self->work);
    return WEIR_OK;
}

/* Takes a command that cannot be looked at yet. */
static void put_aside(struct persistent *self, struct weir_actor *actor,
                      struct weir_message *command)
{
    if (self->stash_count == self->options->stash) {
        actor_dead_letter(weir_actor_system(actor), weir_actor_ref_path(weir_actor_self(actor)),
                          command, WEIR_LIMIT);
        return;
    }
    command->next = NULL;
    if (self->stash == NULL)
        self->stash = command;
    else
        self->last_stashed->next = command;
    self->last_stashed = command;
    self->stash_count++;
}

static struct weir_message *take_stashed(struct persistent *self)
{
    struct weir_message *command = self->stash;

    if (command != NULL) {
        self->stash = command->next;
        self->stash_count--;
    }
    return command;
}

/* ---- snapshots ------------------------------------------------------------------------------- */

/* One that cannot be made is tried again after the next command. */
static void save_if_due(struct persistent *self, struct weir_actor *actor)
{
    const struct weir_persistent_options *options = self->options;
    struct weir_slice state;
    const struct weir_journal_page page = {.sequence = self->sequence, .items = &state, .count = 1};
    void *bytes;

    if (options->snapshot_events == 0 || options->ops->save == NULL ||
        options->journal->save == NULL || self->saving != NULL ||
        self->sequence - self->snapshot_sequence < options->snapshot_events)
        return;
    state.bytes = options->ops->save(self->state, NULL, 0);
    if (state.bytes > WEIR_PERSISTENT_SNAPSHOT_MAX)
        return;
    bytes = weir_alloc(state.bytes + 1);
    if (bytes == NULL)
        return;
    state = weir_slice(bytes, options->ops->save(self->state, bytes, state.bytes));
    self->saving = promise_new(actor, &page);
    weir_free(bytes);
    if (self->saving != NULL)
        options->journal->save(options->journal_self, options->id, &self->saving->asked,
                               self->saving);
}

static void saved(struct persistent *self, struct weir_actor *actor)
{
    const struct weir_journal_promise *answer = self->saving;

    if (answer->error.code != WEIR_OK)
        weir_log(&weir_actor_system(actor)->options.log, WEIR_LOG_WARN, "actor",
                 "%s: a snapshot could not be written: %s", self->options->id,
                 answer->error.message);
    self->snapshot_sequence = answer->asked.sequence; /* the next one is due from here, anyhow */
    self->saving = NULL;
}

/* ---- the behaviour --------------------------------------------------------------------------- */

static enum weir_err appended(struct persistent *self, struct weir_actor *actor,
                              const struct weir_journal_promise *answer, struct weir_error *error)
{
    enum weir_err err = answer->error.code;

    if (err != WEIR_OK)
        *error = answer->error;
    else
        err = apply(self, &answer->asked, error);
    if (err != WEIR_OK)
        return err;
    self->phase = READY;
    command_done(self, actor);
    save_if_due(self, actor);
    return WEIR_OK;
}

static enum weir_err answered(struct persistent *self, struct weir_actor *actor,
                              const struct weir_journal_promise *answer, struct weir_error *error)
{
    enum weir_err err;

    if (answer == self->saving) {
        saved(self, actor);
        return WEIR_OK;
    }
    if (answer != self->work)
        return WEIR_OK; /* asked before a restart */
    self->work = NULL;
    if (self->phase == LOADING)
        err = loaded(self, actor, answer, error);
    else if (self->phase == READING)
        err = read_some(self, actor, answer, error);
    else
        err = appended(self, actor, answer, error);
    while (err == WEIR_OK && self->phase == READY && self->stash != NULL)
        err = run_command(self, actor, take_stashed(self), error);
    return err;
}

static enum weir_err persistent_receive(void *opaque, struct weir_actor *actor,
                                        struct weir_message *message, struct weir_error *error)
{
    struct persistent *self = opaque;

    if (message->type == &promise_type)
        return answered(self, actor, (const struct weir_journal_promise *)message, error);
    if (self->phase != READY && self->work == NULL)
        return weir_error_set(error, WEIR_CLOSED, -1,
                              "actor: %s has failed with its journal, only a restart recovers it",
                              self->options->id);
    weir_actor_take(actor);
    if (self->phase == READY)
        return run_command(self, actor, message, error);
    put_aside(self, actor, message);
    return WEIR_OK;
}

static enum weir_err persistent_start(void *opaque, struct weir_actor *actor,
                                      struct weir_error *error)
{
    struct persistent *self = opaque;
    enum weir_err err;

    self->options = weir_actor_config(actor);
    self->state = weir_calloc(1, self->options->ops->state_bytes + 1);
    if (self->state == NULL)
        return weir_error_set(error, WEIR_NOMEM, -1, "actor: no memory for its state");
    err = fresh_state(self, actor, error);
    if (err != WEIR_OK) {
        weir_free(self->state);
        return err;
    }
    self->work = promise_new(actor, NULL);
    if (self->work == NULL) {
        if (self->options->ops->stop != NULL)
            self->options->ops->stop(self->state, actor);
        weir_free(self->state);
        return no_promise(error);
    }
    self->options->journal->load(self->options->journal_self, self->options->id, self->work);
    return WEIR_OK;
}

/* What waits is before what the mailbox holds, also after a restart. */
static void persistent_stop(void *opaque, struct weir_actor *actor, bool restarting)
{
    struct persistent *self = opaque;
    struct weir_message *backwards = NULL, *command;

    while ((command = take_stashed(self)) != NULL) {
        if (restarting) {
            command->next = backwards;
            backwards = command;
        } else {
            actor_dead_letter(weir_actor_system(actor), weir_actor_ref_path(weir_actor_self(actor)),
                              command, WEIR_CLOSED);
        }
    }
    while ((command = backwards) != NULL) {
        backwards = command->next;
        actor_put_back(actor, command);
    }
    weir_message_drop(self->command);
    forget_events(self);
    if (self->options->ops->stop != NULL)
        self->options->ops->stop(self->state, actor);
    weir_free(self->state);
}

static const struct weir_actor_ops persistent_ops = {.abi = WEIR_ACTOR_ABI,
                                                     .name = "persistent",
                                                     .self_bytes = sizeof(struct persistent),
                                                     .start = persistent_start,
                                                     .receive = persistent_receive,
                                                     .stop = persistent_stop};

/* ---- for its users --------------------------------------------------------------------------- */

void weir_persistent_options_default(struct weir_persistent_options *options)
{
    *options = (struct weir_persistent_options){.snapshot_events = 1000, .stash = 1024};
}

static bool is_sound(const struct weir_persistent_options *options)
{
    const struct weir_persistent_ops *ops = options->ops;
    const struct weir_journal_ops *journal = options->journal;

    return ops != NULL && ops->abi == WEIR_PERSISTENT_ABI && ops->command != NULL &&
           ops->event != NULL && (ops->save == NULL) == (ops->restore == NULL) && journal != NULL &&
           journal->abi == WEIR_JOURNAL_ABI && journal->load != NULL && journal->read != NULL &&
           journal->append != NULL && options->id != NULL &&
           strlen(options->id) <= WEIR_PERSISTENT_ID_MAX;
}

enum weir_err weir_persistent_spawn(struct weir_actor_system *system, struct weir_actor *parent,
                                    const struct weir_persistent_options *options,
                                    const struct weir_actor_options *actor,
                                    struct weir_actor_ref **ref_out, struct weir_error *error)
{
    struct weir_actor_options made;

    if (!is_sound(options))
        return weir_error_set(error, WEIR_INVALID, -1,
                              "actor: a persistent one needs its functions, an id of at most %d "
                              "bytes and a journal",
                              WEIR_PERSISTENT_ID_MAX);
    weir_actor_options_default(&made);
    if (actor != NULL)
        made = *actor;
    made.config = options;
    made.config_bytes = sizeof *options;
    return parent != NULL ? weir_actor_spawn_child(parent, &persistent_ops, &made, ref_out, error)
                          : weir_actor_spawn(system, &persistent_ops, &made, ref_out, error);
}

static struct persistent *self_of(const struct weir_actor *actor)
{
    weir_assert(actor->ops == &persistent_ops);
    return actor->self;
}

/* For one more event. */
static bool make_room(struct persistent *self)
{
    uint32_t capacity = self->event_capacity > 0 ? 2 * self->event_capacity : 4;
    struct weir_slice *events;

    if (self->event_count < self->event_capacity)
        return true;
    events = weir_realloc_array(self->events, capacity, sizeof *events);
    if (events == NULL)
        return false;
    self->events = events;
    self->event_capacity = capacity;
    return true;
}

enum weir_err weir_persist(struct weir_actor *actor, struct weir_slice event,
                           struct weir_error *error)
{
    struct persistent *self = self_of(actor);
    void *copy;

    weir_assert(self->command != NULL && self->phase == READY); /* only inside command */
    if (self->event_count == WEIR_PERSISTENT_EVENTS_MAX ||
        event.bytes > WEIR_PERSISTENT_BYTES_MAX - self->event_bytes)
        return weir_error_set(error, WEIR_LIMIT, -1, "actor: too many events of one command");
    copy = make_room(self) ? weir_alloc(event.bytes + 1) : NULL;
    if (copy == NULL)
        return weir_error_set(error, WEIR_NOMEM, -1, "actor: no memory for an event");
    if (event.bytes > 0)
        memcpy(copy, event.data, event.bytes);
    self->events[self->event_count++] = weir_slice(copy, event.bytes);
    self->event_bytes += event.bytes;
    return WEIR_OK;
}

const void *weir_persistent_config(const struct weir_actor *actor)
{
    return self_of(actor)->options->config;
}

uint64_t weir_persistent_sequence(const struct weir_actor *actor)
{
    return self_of(actor)->sequence;
}
