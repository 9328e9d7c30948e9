/* Actors on several threads: nothing lost, nothing twice, whatever stops when. */
#include "cmocka_all.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <weir/flow_actor.h>

#include "base/random.h"

enum { WAIT_MS = 25000 };

static struct weir_flow_materializer *materializer;
static struct weir_actor_system *actors;
static _Atomic long alive, received, dead;

static void on_dead_letter(void *opaque, const char *to, const struct weir_message *message,
                           enum weir_err why)
{
    (void)opaque;
    (void)to;
    (void)message;
    (void)why;
    atomic_fetch_add(&dead, 1);
}

static void open_system(uint32_t threads)
{
    struct weir_flow_materializer_options options;
    struct weir_actor_system_options system_options;

    atomic_store(&received, 0);
    atomic_store(&dead, 0);
    weir_flow_materializer_options_default(&options);
    options.threads = threads;
    assert_int_equal(weir_flow_materializer_new(&options, &materializer, NULL), WEIR_OK);
    weir_actor_system_options_default(&system_options);
    system_options.on_dead_letter = on_dead_letter;
    assert_int_equal(weir_actor_system_new(materializer, &system_options, &actors, NULL), WEIR_OK);
}

static void close_system(void)
{
    assert_int_equal(weir_actor_system_stop(actors, WAIT_MS), WEIR_OK);
    weir_actor_system_free(actors);
    weir_flow_materializer_free(materializer);
    assert_int_equal(atomic_load(&alive), 0);
}

/* ---- a message with a number ----------------------------------------------------------------- */

struct ball {
    struct weir_message message;
    struct weir_actor_ref *reply_to;
    long number, sender;
};

static void drop_ball(struct weir_message *message)
{
    weir_actor_ref_free(((struct ball *)message)->reply_to);
    free(message);
    atomic_fetch_sub(&alive, 1);
}

static struct weir_actor_ref **reply_to_of(struct weir_message *message)
{
    return &((struct ball *)message)->reply_to;
}

static const struct weir_message_type ball_type = {
    .name = "ball", .drop = drop_ball, .reply_to = reply_to_of};

static struct weir_message *ball(long sender, long number)
{
    struct ball *made = calloc(1, sizeof *made);

    assert_non_null(made);
    made->message.type = &ball_type;
    made->sender = sender;
    made->number = number;
    atomic_fetch_add(&alive, 1);
    return &made->message;
}

/* ---- a ring of actors ------------------------------------------------------------------------ */

struct place_in_ring {
    struct weir_actor_ref **ring;
    uint32_t place, count;
};

static enum weir_err pass_on(void *self, struct weir_actor *actor, struct weir_message *message,
                             struct weir_error *error)
{
    const struct place_in_ring *mine = weir_actor_config(actor);

    (void)self;
    (void)error;
    atomic_fetch_add(&received, 1);
    if (--((struct ball *)message)->number == 0)
        return WEIR_OK;
    weir_actor_take(actor);
    weir_actor_tell(mine->ring[(mine->place + 1) % mine->count], message);
    return WEIR_OK;
}

static void wait_for_received(long count)
{
    for (int i = 0; i < WAIT_MS && atomic_load(&received) < count; i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    assert_int_equal(atomic_load(&received), count);
}

static void a_ring_passes_all_its_balls(void **state)
{
    static const struct weir_actor_ops ops = {
        .abi = WEIR_ACTOR_ABI, .name = "ring", .receive = pass_on};
    enum { ACTORS = 100, BALLS = 20, ROUNDS = 2000 };
    struct weir_actor_ref *ring[ACTORS];

    (void)state;
    open_system(3);
    for (uint32_t i = 0; i < ACTORS; i++) {
        const struct place_in_ring place = {ring, i, ACTORS};
        struct weir_actor_options options;
        weir_actor_options_default(&options);
        options.config = &place;
        options.config_bytes = sizeof place;
        assert_int_equal(weir_actor_spawn(actors, &ops, &options, &ring[i], NULL), WEIR_OK);
    }
    for (int i = 0; i < BALLS; i++)
        weir_actor_tell(ring[i * (ACTORS / BALLS)], ball(0, ROUNDS));
    wait_for_received((long)BALLS * ROUNDS);
    assert_int_equal(atomic_load(&dead), 0);
    assert_int_equal(weir_actor_system_stop(actors, WAIT_MS), WEIR_OK);
    for (int i = 0; i < ACTORS; i++)
        weir_actor_ref_free(ring[i]);
    close_system();
}

/* ---- many tellers, one actor that fails, restarts, stops ------------------------------------- */

enum { TELLERS = 4, BALLS_EACH = 20000, MAILBOX = 64 };

struct in_order_self {
    long last[TELLERS];
};

static enum weir_err in_order(void *self, struct weir_actor *actor, struct weir_message *message,
                              struct weir_error *error)
{
    struct in_order_self *mine = self;
    const struct ball *got = (const struct ball *)message;

    (void)actor;
    (void)error;
    atomic_fetch_add(&received, 1);
    assert_true(got->number > mine->last[got->sender]);
    mine->last[got->sender] = got->number;
    return got->number % 1000 == 0 ? WEIR_MODEL_FAILED : WEIR_OK;
}

struct teller {
    struct weir_actor_ref *to;
    long sender;
    pthread_t thread;
};

static void *tell_all(void *opaque)
{
    const struct teller *teller = opaque;

    for (long i = 1; i <= BALLS_EACH; i++) {
        struct weir_message *message = ball(teller->sender, i);
        bool is_patient = teller->sender % 2 == 0;
        enum weir_err err;
        while ((err = weir_actor_try_tell(teller->to, message)) == WEIR_AGAIN && is_patient)
            sched_yield();
        if (err != WEIR_OK)
            weir_actor_tell(teller->to, message);
    }
    return NULL;
}

static void every_message_is_received_or_a_dead_letter(void **state)
{
    static const struct weir_actor_ops ops = {.abi = WEIR_ACTOR_ABI,
                                              .name = "in order",
                                              .self_bytes = sizeof(struct in_order_self),
                                              .receive = in_order};

    (void)state;
    for (int stops = 0; stops < 2; stops++) {
        struct teller tellers[TELLERS];
        struct weir_actor_options options;
        struct weir_actor_ref *ref;

        open_system(2);
        weir_actor_options_default(&options);
        options.mailbox = MAILBOX;
        options.supervision.directive = WEIR_ACTOR_RESTART;
        assert_int_equal(weir_actor_spawn(actors, &ops, &options, &ref, NULL), WEIR_OK);
        for (long i = 0; i < TELLERS; i++) {
            tellers[i] = (struct teller){.to = ref, .sender = i};
            assert_int_equal(pthread_create(&tellers[i].thread, NULL, tell_all, &tellers[i]), 0);
        }
        if (stops) {
            while (atomic_load(&received) < BALLS_EACH / 2)
                sched_yield();
            weir_actor_stop(ref);
        }
        for (int i = 0; i < TELLERS; i++)
            pthread_join(tellers[i].thread, NULL);
        assert_int_equal(weir_actor_system_stop(actors, WAIT_MS), WEIR_OK);
        assert_int_equal(atomic_load(&received) + atomic_load(&dead), TELLERS * BALLS_EACH);
        /* The end finds a mailbox full at most. */
        assert_true(atomic_load(&received) >=
                    (stops ? BALLS_EACH / 2 : TELLERS / 2 * BALLS_EACH - MAILBOX));
        weir_actor_ref_free(ref);
        close_system();
    }
}

/* ---- trees that grow and die while others watch and ask -------------------------------------- */

static enum weir_err grow(void *self, struct weir_actor *actor, struct weir_message *message,
                          struct weir_error *error);

static enum weir_err forget(void *self, struct weir_actor *actor, struct weir_actor_ref *who,
                            struct weir_error *error)
{
    (void)self;
    (void)actor;
    (void)error;
    assert_true(weir_actor_ref_is_stopped(who));
    return WEIR_OK;
}

static const struct weir_actor_ops tree = {
    .abi = WEIR_ACTOR_ABI, .name = "tree", .receive = grow, .on_terminated = forget};

/* number: what to do. */
static enum weir_err grow(void *self, struct weir_actor *actor, struct weir_message *message,
                          struct weir_error *error)
{
    struct ball *order = (struct ball *)message;
    struct weir_actor_ref *child;
    enum weir_err err;

    (void)self;
    atomic_fetch_add(&received, 1);
    if (order->reply_to != NULL)
        weir_actor_tell(order->reply_to, ball(0, order->number));
    switch (order->number % 4) {
    case 0:
        return WEIR_MODEL_FAILED;
    case 1:
        if (weir_actor_system_count(weir_actor_system(actor)) > 200)
            return WEIR_OK;
        err = weir_actor_spawn_child(actor, &tree, NULL, &child, error);
        if (err != WEIR_OK)
            return err == WEIR_CLOSED ? WEIR_OK : err;
        err = weir_actor_watch(actor, child, error);
        weir_actor_tell(child, ball(0, order->number / 4));
        weir_actor_ref_free(child);
        return err;
    default:
        return WEIR_OK;
    }
}

static void *ask_all(void *opaque)
{
    struct teller *teller = opaque;
    struct weir_random random = {(uint64_t)teller->sender};

    for (int i = 0; i < 2000; i++) {
        struct weir_message *answer;
        struct weir_error error;
        enum weir_err err =
            weir_actor_ask_wait(teller->to, ball(0, 1 + (long)weir_random_below(&random, 1 << 20)),
                                5000, &answer, &error);
        if (err == WEIR_OK)
            weir_message_drop(answer);
        else
            assert_true(err == WEIR_TIMEOUT || err == WEIR_CLOSED);
    }
    return NULL;
}

static void trees_grow_and_die(void **state)
{
    struct teller tellers[TELLERS];
    struct weir_actor_options options;
    struct weir_actor_ref *root;

    (void)state;
    open_system(3);
    weir_actor_options_default(&options);
    options.supervision.directive = WEIR_ACTOR_RESTART;
    assert_int_equal(weir_actor_spawn(actors, &tree, &options, &root, NULL), WEIR_OK);
    for (long i = 0; i < TELLERS; i++) {
        tellers[i] = (struct teller){.to = root, .sender = i};
        assert_int_equal(pthread_create(&tellers[i].thread, NULL, ask_all, &tellers[i]), 0);
    }
    for (int i = 0; i < TELLERS; i++)
        pthread_join(tellers[i].thread, NULL);
    weir_actor_ref_free(root);
    close_system();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ring_passes_all_its_balls),
        cmocka_unit_test(every_message_is_received_or_a_dead_letter),
        cmocka_unit_test(trees_grow_and_die),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
