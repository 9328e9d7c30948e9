/* Kill switches: of one stream, and one that many streams share. */
#include <pthread.h>
#include <string.h>

#include "base/alloc.h"
#include "flow/inside.h"

static void pass(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    (void)self;
    flow_push(stage, 0, flow_grab(stage, inlet));
}

static void pull_in(void *self, struct weir_flow_stage *stage, uint32_t outlet)
{
    (void)self;
    (void)outlet;
    flow_pull(stage, 0);
}

/* ---- of one stream --------------------------------------------------------------------------- */

enum switch_state { SWITCH_ON, SWITCH_WRITING, SWITCH_SHUTDOWN, SWITCH_ABORTED };

struct weir_flow_kill_switch {
    struct weir_flow_event event;
    _Atomic int state;
    struct weir_error error;
};

static enum weir_err switch_init(void *self, struct weir_flow_stage *stage,
                                 struct weir_error *error)
{
    struct weir_flow_kill_switch *kill_switch = self;

    (void)error;
    weir_flow_event_init(&kill_switch->event, stage);
    weir_flow_stage_value_set(stage, kill_switch);
    return WEIR_OK;
}

static void switch_event(void *self, struct weir_flow_stage *stage, struct weir_flow_event *event)
{
    struct weir_flow_kill_switch *kill_switch = self;

    (void)event;
    if (atomic_load(&kill_switch->state) == SWITCH_ABORTED)
        weir_flow_fail_stage(stage, &kill_switch->error);
    else
        weir_flow_complete_stage(stage);
}

static const struct weir_flow_stage_ops switch_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "kill_switch",
    .self_bytes = sizeof(struct weir_flow_kill_switch),
    .init = switch_init,
    .on_push = pass,
    .on_pull = pull_in,
    .on_event = switch_event,
};

struct weir_flow_outlet weir_flow_kill_switch(struct weir_flow_outlet in)
{
    return flow_add_linear(in, &switch_ops, NULL, 0, weir_flow_outlet_kind(in));
}

void weir_flow_kill_switch_shutdown(struct weir_flow_kill_switch *kill_switch)
{
    int on = SWITCH_ON;

    if (atomic_compare_exchange_strong(&kill_switch->state, &on, SWITCH_SHUTDOWN))
        weir_flow_invoke(&kill_switch->event);
}

void weir_flow_kill_switch_abort(struct weir_flow_kill_switch *kill_switch,
                                 const struct weir_error *error)
{
    int on = SWITCH_ON;

    weir_assert(error->code != WEIR_OK);
    if (!atomic_compare_exchange_strong(&kill_switch->state, &on, SWITCH_WRITING))
        return;
    kill_switch->error = *error;
    atomic_store(&kill_switch->state, SWITCH_ABORTED);
    weir_flow_invoke(&kill_switch->event);
}

/* ---- shared ---------------------------------------------------------------------------------- */

struct shared_stage {
    struct weir_flow_event event;
    struct weir_flow_shared_kill_switch *kill_switch;
    struct shared_stage *next, *previous;
};

struct weir_flow_shared_kill_switch {
    pthread_mutex_t mutex;
    struct shared_stage *stages; /* of all streams that run */
    bool is_off;
    struct weir_error why; /* code OK: shutdown */
};

enum weir_err weir_flow_shared_kill_switch_new(struct weir_flow_shared_kill_switch **out)
{
    struct weir_flow_shared_kill_switch *kill_switch = weir_calloc(1, sizeof *kill_switch);

    if (kill_switch == NULL)
        return WEIR_NOMEM;
    pthread_mutex_init(&kill_switch->mutex, NULL);
    *out = kill_switch;
    return WEIR_OK;
}

void weir_flow_shared_kill_switch_free(struct weir_flow_shared_kill_switch *kill_switch)
{
    if (kill_switch == NULL)
        return;
    weir_assert(kill_switch->stages == NULL);
    pthread_mutex_destroy(&kill_switch->mutex);
    weir_free(kill_switch);
}

static enum weir_err shared_init(void *self, struct weir_flow_stage *stage,
                                 struct weir_error *error)
{
    struct shared_stage *mine = self;
    struct weir_flow_shared_kill_switch *kill_switch;

    (void)error;
    memcpy(&kill_switch, stage->config, sizeof(struct weir_flow_shared_kill_switch *));
    weir_flow_event_init(&mine->event, stage);
    mine->kill_switch = kill_switch;
    pthread_mutex_lock(&kill_switch->mutex);
    mine->next = kill_switch->stages;
    if (mine->next != NULL)
        mine->next->previous = mine;
    kill_switch->stages = mine;
    pthread_mutex_unlock(&kill_switch->mutex);
    return WEIR_OK;
}

static void shared_release(void *self, struct weir_flow_stage *stage)
{
    struct shared_stage *mine = self;
    struct weir_flow_shared_kill_switch *kill_switch = mine->kill_switch;

    (void)stage;
    pthread_mutex_lock(&kill_switch->mutex);
    if (mine->previous != NULL)
        mine->previous->next = mine->next;
    else
        kill_switch->stages = mine->next;
    if (mine->next != NULL)
        mine->next->previous = mine->previous;
    pthread_mutex_unlock(&kill_switch->mutex);
}

static void shared_obey(struct weir_flow_shared_kill_switch *kill_switch,
                        struct weir_flow_stage *stage)
{
    bool is_off;
    struct weir_error why;

    pthread_mutex_lock(&kill_switch->mutex);
    is_off = kill_switch->is_off;
    why = kill_switch->why;
    pthread_mutex_unlock(&kill_switch->mutex);
    if (is_off && why.code != WEIR_OK)
        weir_flow_fail_stage(stage, &why);
    else if (is_off)
        weir_flow_complete_stage(stage);
}

static void shared_start(void *self, struct weir_flow_stage *stage)
{
    const struct shared_stage *mine = self;

    shared_obey(mine->kill_switch, stage);
}

static void shared_event(void *self, struct weir_flow_stage *stage, struct weir_flow_event *event)
{
    const struct shared_stage *mine = self;

    (void)event;
    shared_obey(mine->kill_switch, stage);
}

static const struct weir_flow_stage_ops shared_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "shared_kill_switch",
    .self_bytes = sizeof(struct shared_stage),
    .init = shared_init,
    .release = shared_release,
    .start = shared_start,
    .on_push = pass,
    .on_pull = pull_in,
    .on_event = shared_event,
};

struct weir_flow_outlet
weir_flow_via_shared_kill_switch(struct weir_flow_outlet in,
                                 struct weir_flow_shared_kill_switch *kill_switch)
{
    return flow_add_linear(in, &shared_ops, &kill_switch, sizeof kill_switch,
                           weir_flow_outlet_kind(in));
}

static void turn_off(struct weir_flow_shared_kill_switch *kill_switch, const struct weir_error *why)
{
    pthread_mutex_lock(&kill_switch->mutex);
    if (!kill_switch->is_off) {
        kill_switch->is_off = true;
        kill_switch->why = *why;
        /* Streams that end meanwhile wait in shared_release: their events are still there. */
        for (struct shared_stage *at = kill_switch->stages; at != NULL; at = at->next)
            weir_flow_invoke(&at->event);
    }
    pthread_mutex_unlock(&kill_switch->mutex);
}

void weir_flow_shared_kill_switch_shutdown(struct weir_flow_shared_kill_switch *kill_switch)
{
    const struct weir_error why = {.code = WEIR_OK};

    turn_off(kill_switch, &why);
}

void weir_flow_shared_kill_switch_abort(struct weir_flow_shared_kill_switch *kill_switch,
                                        const struct weir_error *error)
{
    weir_assert(error->code != WEIR_OK);
    turn_off(kill_switch, error);
}
