#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "models_place.h"

static struct weir_slice text_slice(const char *text)
{
    return text ? weir_slice(text, strlen(text)) : weir_slice(NULL, 0);
}

static void note_event(void *opaque, const struct models_event *event)
{
    struct place *place = opaque;
    pthread_mutex_lock(&place->lock);
    place->seen[event->kind]++;
    if (event->kind == MODELS_REFUSED) {
        place->refused_why = event->error->code;
        memcpy(place->refused_message, event->error->message, sizeof place->refused_message);
    }
    if (event->kind == MODELS_IN_FORCE)
        snprintf(place->before, sizeof place->before, "%s",
                 event->before ? event->before->version : "");
    pthread_cond_broadcast(&place->changed);
    pthread_mutex_unlock(&place->lock);
}

static enum weir_err fetch_record(void *opaque, int32_t partition, int64_t offset, void **value_out,
                                  size_t *bytes_out, struct weir_error *error)
{
    struct place *place = opaque;
    enum weir_err err = WEIR_OK;
    pthread_mutex_lock(&place->lock);
    place->fetches++;
    if (place->fetch_fails || partition != 0 || offset >= (int64_t)place->records)
        err = weir_error_set(error, WEIR_NOT_FOUND, offset, "the record is gone");
    if (err == WEIR_OK) {
        *bytes_out = place->topic[offset].size;
        *value_out = weir_alloc(*bytes_out);
        memcpy(*value_out, place->topic[offset].bytes, *bytes_out);
    }
    pthread_mutex_unlock(&place->lock);
    return err;
}

void place_options(struct models_options *options)
{
    *options = (struct models_options){.rows_max = 16, .scorers = 2};
}

void place_open(struct place *place, const struct models_options *options)
{
    struct models_options own = *options;
    *place = (struct place){.past_end = true};
    pthread_mutex_init(&place->lock, NULL);
    pthread_cond_init(&place->changed, NULL);
    assert_int_equal(weir_schema_wine(&place->schema), WEIR_OK);
    assert_int_equal(weir_block_new(place->schema, 1, &place->block), WEIR_OK);
    assert_int_equal(weir_block_reset(place->block, 1), WEIR_OK);
    int32_t alcohol = weir_schema_find(place->schema, "alcohol");
    weir_block_set_double(place->block, (uint32_t)alcohol, 0, 0);
    own.schema = place->schema;
    own.clock = weir_clock_real();
    own.fetch = fetch_record;
    own.on_event = note_event;
    own.opaque = place;
    assert_int_equal(models_new(&own, &place->models), WEIR_OK);
    assert_int_equal(models_reader_open(place->models, &place->reader), WEIR_OK);
}

void place_close(struct place *place)
{
    models_reader_close(place->reader);
    models_free(place->models);
    for (uint32_t i = 0; i < place->records; i++)
        weir_free(place->topic[i].bytes);
    weir_block_free(place->block);
    weir_schema_unref(place->schema);
    pthread_cond_destroy(&place->changed);
    pthread_mutex_destroy(&place->lock);
}

char *place_pmml(double value)
{
    static const char form[] =
        "<PMML version=\"4.4\" xmlns=\"http://www.dmg.org/PMML-4_4\"><Header/><DataDictionary>"
        "<DataField name=\"alcohol\" optype=\"continuous\" dataType=\"double\"/>"
        "<DataField name=\"quality\" optype=\"continuous\" dataType=\"double\"/></DataDictionary>"
        "<RegressionModel functionName=\"regression\"><MiningSchema>"
        "<MiningField name=\"alcohol\"/><MiningField name=\"quality\" usageType=\"target\"/>"
        "</MiningSchema><RegressionTable intercept=\"%.17g\">"
        "<NumericPredictor name=\"alcohol\" coefficient=\"1\"/></RegressionTable>"
        "</RegressionModel></PMML>";
    enum { ROOM = sizeof form + 32 };
    char *pmml = weir_alloc(ROOM);
    snprintf(pmml, ROOM, form, value);
    return pmml;
}

/* One record, in *taken of the update; the topic keeps its bytes. */
static enum weir_err update(struct place *place, const char *key, struct weir_slice value)
{
    struct weir_slice key_slice = text_slice(key);
    int64_t offset = place->records, timestamp_ms = 1000 + offset;
    const struct weir_header *headers = NULL;
    uint32_t header_count = 0, taken = 0;
    struct weir_rows rows = {.topic = "models",
                             .key = &key_slice,
                             .value = &value,
                             .timestamp_ms = &timestamp_ms,
                             .offset = &offset,
                             .headers = &headers,
                             .header_count = &header_count};
    assert_true(place->records < PLACE_RECORDS_MAX);
    pthread_mutex_lock(&place->lock);
    place->topic[place->records].bytes = weir_alloc(value.bytes ? value.bytes : 1);
    if (value.bytes)
        memcpy(place->topic[place->records].bytes, value.data, value.bytes);
    place->topic[place->records++].size = value.bytes;
    pthread_mutex_unlock(&place->lock);
    enum weir_err err = models_update(place->models, &rows, 1, place->past_end, &taken);
    assert_int_equal(taken, err == WEIR_OK);
    if (err == WEIR_AGAIN) {
        pthread_mutex_lock(&place->lock);
        weir_free(place->topic[--place->records].bytes);
        pthread_mutex_unlock(&place->lock);
    }
    return err;
}

void place_send_bytes(struct place *place, const char *key, const void *bytes, size_t size)
{
    assert_int_equal(update(place, key, weir_slice(bytes, size)), WEIR_OK);
}

void place_send_tombstone(struct place *place, const char *key)
{
    assert_int_equal(update(place, key, weir_slice(NULL, 0)), WEIR_OK);
}

enum weir_err place_send(struct place *place, const char *key, const struct weir_descriptor *model)
{
    size_t size = weir_descriptor_bytes(model);
    void *bytes = weir_alloc(size);
    size = weir_descriptor_encode(model, bytes);
    enum weir_err err = update(place, key, weir_slice(bytes, size));
    weir_free(bytes);
    return err;
}

void place_send_value(struct place *place, const char *key, const char *data_type,
                      const char *version, double value)
{
    char *pmml = place_pmml(value);
    struct weir_descriptor model = {.name = text_slice("m"),
                                    .data_type = text_slice(data_type),
                                    .model_type = WEIR_DESCRIPTOR_PMML,
                                    .data = text_slice(pmml),
                                    .version = text_slice(version)};
    assert_int_equal(place_send(place, key, &model), WEIR_OK);
    weir_free(pmml);
}

void place_send_activate(struct place *place, const char *data_type, const char *version)
{
    struct weir_descriptor model = {.name = text_slice("m"),
                                    .data_type = text_slice(data_type),
                                    .version = text_slice(version),
                                    .action = WEIR_DESCRIPTOR_ACTIVATE};
    assert_int_equal(place_send(place, NULL, &model), WEIR_OK);
}

void place_wait(struct place *place, enum models_event_kind kind, uint32_t count)
{
    struct timespec until;
    int late = 0;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PLACE_WAIT_S;
    pthread_mutex_lock(&place->lock);
    while (place->seen[kind] < count && late != ETIMEDOUT)
        late = pthread_cond_timedwait(&place->changed, &place->lock, &until);
    uint32_t seen = place->seen[kind];
    pthread_mutex_unlock(&place->lock);
    assert_int_equal(seen, count);
}

double place_score(struct place *place, const char *data_type)
{
    double value = NAN;
    const struct model_set *set = models_enter(place->reader);
    const struct served *served = model_set_find(set, text_slice(data_type));
    if (served) {
        struct weir_scorer *scorer = served_take_scorer(served);
        assert_non_null(scorer);
        weir_scorer_score(scorer, place->block, NULL, 0);
        const struct weir_block *output = weir_scorer_output(scorer);
        assert_int_equal(output->status[0], WEIR_OK);
        value = output->columns[0].f64[0];
        served_give_scorer(served, scorer);
    }
    models_leave(place->reader);
    return value;
}

const char *place_version(struct place *place, const char *data_type, char text[256])
{
    const struct model_set *set = models_enter(place->reader);
    const struct served *served = model_set_find(set, text_slice(data_type));
    snprintf(text, 256, "%s", served ? served->version : "");
    models_leave(place->reader);
    return text;
}
