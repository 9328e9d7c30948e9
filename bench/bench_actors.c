/*
 * bench_actors - ns per message between two actors beside a bare ring, questions, memory.
 *
 * usage: bench_actors [MESSAGES]        (5,000,000 when nothing is said)
 *
 * Two actors hand the same 512 messages to and fro: every hop is a message told, received and kept.
 * The ring is base/ring.h with as many places, one pointer at a time, on one thread and between
 * two. A question makes its asker, is told, answered and heard. Medians of the rounds.
 */
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <weir/flow_actor.h>

#include "base/clock.h"
#include "base/ring.h"

enum { ROUNDS = 5, MESSAGES = 512, QUESTIONS = 200000, ACTORS = 100000 };

static uint64_t hops = 5000000;

static void check(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "bench_actors: %s failed\n", what);
    exit(1);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *values)
{
    qsort(values, ROUNDS, sizeof *values, compare);
    return values[ROUNDS / 2];
}

struct place {
    struct weir_flow_materializer *materializer;
    struct weir_actor_system *system;
};

static void place_open(struct place *place, uint32_t threads)
{
    struct weir_flow_materializer_options options;

    weir_flow_materializer_options_default(&options);
    options.threads = threads;
    check(weir_flow_materializer_new(&options, &place->materializer, NULL) == WEIR_OK,
          "materializer");
    check(weir_actor_system_new(place->materializer, NULL, &place->system, NULL) == WEIR_OK,
          "system");
}

static void place_close(struct place *place)
{
    weir_actor_system_free(place->system);
    weir_flow_materializer_free(place->materializer);
}

/* ---- to and fro ------------------------------------------------------------------------------ */

struct ball {
    struct weir_message message;
    struct weir_actor_ref *reply_to;
};

static void keep(struct weir_message *message)
{
    (void)message;
}

static struct weir_actor_ref **reply_to_of(struct weir_message *message)
{
    return &((struct ball *)message)->reply_to;
}

static const struct weir_message_type ball_type = {
    .name = "ball", .drop = keep, .reply_to = reply_to_of};

struct game {
    struct weir_actor_ref *players[2];
    uint64_t left[2]; /* each player's own count */
    _Atomic uint64_t done;
};

struct player_config {
    struct game *game;
    int number;
};

static enum weir_err return_ball(void *self, struct weir_actor *actor, struct weir_message *message,
                                 struct weir_error *error)
{
    const struct player_config *config = weir_actor_config(actor);
    struct game *game = config->game;

    (void)self;
    (void)error;
    weir_actor_take(actor);
    if (game->left[config->number] == 0) {
        atomic_fetch_add(&game->done, 1);
        return WEIR_OK;
    }
    game->left[config->number]--;
    weir_actor_tell(game->players[1 - config->number], message);
    return WEIR_OK;
}

static double to_and_fro(uint32_t threads)
{
    static const struct weir_actor_ops player = {
        .abi = WEIR_ACTOR_ABI, .name = "player", .receive = return_ball};
    static struct ball balls[MESSAGES];
    struct place place;
    struct game game = {.left = {hops / 2, hops / 2}};
    int64_t start_ns;
    double took;

    place_open(&place, threads);
    for (int i = 0; i < 2; i++) {
        const struct player_config config = {&game, i};
        struct weir_actor_options options;
        weir_actor_options_default(&options);
        options.config = &config;
        options.config_bytes = sizeof config;
        check(weir_actor_spawn(place.system, &player, &options, &game.players[i], NULL) == WEIR_OK,
              "spawn");
    }
    start_ns = weir_clock_now_ns(NULL);
    for (int i = 0; i < MESSAGES; i++) {
        balls[i].message.type = &ball_type;
        weir_actor_tell(game.players[i & 1], &balls[i].message);
    }
    if (threads == 0)
        weir_flow_materializer_run(place.materializer);
    while (atomic_load(&game.done) < MESSAGES)
        sched_yield();
    took = (double)(weir_clock_now_ns(NULL) - start_ns) / (double)hops;
    for (int i = 0; i < 2; i++)
        weir_actor_ref_free(game.players[i]);
    place_close(&place);
    return took;
}

/* ---- the bare ring --------------------------------------------------------------------------- */

static double ring_alone(void)
{
    struct weir_ring ring;
    void *element = &hops;
    int64_t start_ns;
    double took;

    check(weir_ring_init(&ring, MESSAGES, sizeof element) == WEIR_OK, "ring");
    start_ns = weir_clock_now_ns(NULL);
    for (uint64_t done = 0; done < hops;) {
        while (weir_ring_write(&ring, &element, 1) == 1)
            continue;
        while (weir_ring_read(&ring, &element, 1) == 1)
            done++;
    }
    took = (double)(weir_clock_now_ns(NULL) - start_ns) / (double)hops;
    weir_ring_release(&ring);
    return took;
}

static void *write_all(void *opaque)
{
    void *element = &hops;

    for (uint64_t i = 0; i < hops; i++)
        while (weir_ring_write(opaque, &element, 1) == 0)
            sched_yield();
    return NULL;
}

static double ring_between(void)
{
    struct weir_ring ring;
    pthread_t thread;
    void *element;
    int64_t start_ns;
    double took;

    check(weir_ring_init(&ring, MESSAGES, sizeof element) == WEIR_OK, "ring");
    start_ns = weir_clock_now_ns(NULL);
    check(pthread_create(&thread, NULL, write_all, &ring) == 0, "thread");
    for (uint64_t i = 0; i < hops; i++)
        while (weir_ring_read(&ring, &element, 1) == 0)
            sched_yield();
    took = (double)(weir_clock_now_ns(NULL) - start_ns) / (double)hops;
    pthread_join(thread, NULL);
    weir_ring_release(&ring);
    return took;
}

static void messages(uint32_t threads)
{
    double told[ROUNDS], bare[ROUNDS], message, ring;

    for (int i = 0; i < ROUNDS; i++) {
        told[i] = to_and_fro(threads);
        bare[i] = threads == 0 ? ring_alone() : ring_between();
    }
    message = median(told);
    ring = median(bare);
    printf("message between two actors, %s: %.1f ns, bare ring %.1f ns: %.1f x (target 5: %s)\n",
           threads == 0 ? "one thread" : "two threads", message, ring, message / ring,
           message <= 5 * ring ? "met" : "missed");
}

/* ---- questions and memory -------------------------------------------------------------------- */

static enum weir_err answer_at_once(void *self, struct weir_actor *actor,
                                    struct weir_message *message, struct weir_error *error)
{
    struct weir_actor_ref **place = reply_to_of(message), *reply_to = *place;

    (void)self;
    (void)error;
    weir_actor_take(actor);
    *place = NULL;
    weir_actor_tell(reply_to, message);
    weir_actor_ref_free(reply_to);
    return WEIR_OK;
}

static void heard(void *opaque, struct weir_message *answer, const struct weir_error *error)
{
    (void)answer;
    check(error->code == WEIR_OK, "answer");
    ++*(uint64_t *)opaque;
}

static void questions(void)
{
    static const struct weir_actor_ops ops = {
        .abi = WEIR_ACTOR_ABI, .name = "answers", .receive = answer_at_once};
    double took[ROUNDS];

    for (int round = 0; round < ROUNDS; round++) {
        struct place place;
        struct weir_actor_ref *ref;
        struct ball ball = {.message.type = &ball_type};
        uint64_t answers = 0;
        int64_t start_ns;
        place_open(&place, 0);
        check(weir_actor_spawn(place.system, &ops, NULL, &ref, NULL) == WEIR_OK, "spawn");
        start_ns = weir_clock_now_ns(NULL);
        for (int i = 0; i < QUESTIONS; i++) {
            check(weir_actor_ask(place.system, 1000, heard, &answers, &ball.reply_to, NULL) ==
                      WEIR_OK,
                  "ask");
            weir_actor_tell(ref, &ball.message);
            weir_flow_materializer_run(place.materializer);
        }
        took[round] = (double)(weir_clock_now_ns(NULL) - start_ns) / QUESTIONS;
        check(answers == QUESTIONS, "answers");
        weir_actor_ref_free(ref);
        place_close(&place);
    }
    printf("question and answer, one thread: %.0f ns\n", median(took));
}

static void memory(void)
{
    static const struct weir_actor_ops ops = {
        .abi = WEIR_ACTOR_ABI, .name = "idle", .receive = answer_at_once};
    struct place place;
    size_t before;

    place_open(&place, 0);
    before = mallinfo2().uordblks + mallinfo2().hblkhd;
    for (int i = 0; i < ACTORS; i++)
        check(weir_actor_spawn(place.system, &ops, NULL, NULL, NULL) == WEIR_OK, "spawn");
    weir_flow_materializer_run(place.materializer);
    printf("memory: %zu bytes an idle actor, of %d\n",
           (mallinfo2().uordblks + mallinfo2().hblkhd - before) / ACTORS, ACTORS);
    place_close(&place);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        hops = strtoull(argv[1], NULL, 10);
    check(hops > 1, "reading MESSAGES");
    messages(0);
    messages(2);
    questions();
    memory();
    return 0;
}
