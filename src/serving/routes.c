/*
 * serving/routes.c - what a model server answers over HTTP.
 *
 * on the streams engine
 *      /state/value    statistics of the model in force, the reference system's seven names first
 *      /models         every version known, and its state
 * on the flow engine, by the names that the reference system's servers of that kind have
 *      /state          the same statistics; /state/<data type>: of that one
 *      /models         the data types that have models; /processors is the same
 *      /versions       every version known, and its state
 * on both
 *      /metrics        Prometheus text
 *      /livez          200 while the process answers
 *      /readyz         200 when records are being scored, else 503
 */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/digest.h"
#include "base/json.h"
#include "serving/server_inside.h"

static const char json_content[] = "application/json";

static void text_response(struct http_response *response, unsigned status, const char *text)
{
    response->status = status;
    if (weir_buffer_append_text(&response->body, text) != WEIR_OK)
        response->status = 500;
}

static void finish_json(struct weir_json *json, struct http_response *response)
{
    response->content_type = json_content;
    if (weir_json_end(json) == WEIR_OK)
        return;
    weir_buffer_clear(&response->body);
    response->content_type = "text/plain; charset=utf-8";
    text_response(response, 500, "There was an internal server error.");
}

/* ---- health ---------------------------------------------------------------------------------- */

static void livez(void *opaque, const struct http_request *request, struct http_response *response)
{
    (void)opaque;
    (void)request;
    text_response(response, 200, "ok\n");
}

static bool is_running(const struct server *server)
{
    return atomic_load(&server->phase) == SERVER_STARTED &&
           server_state(server) == WEIR_STREAMS_RUNNING;
}

static void readyz(void *opaque, const struct http_request *request, struct http_response *response)
{
    const struct server *server = opaque;
    char text[64];
    (void)request;
    if (is_running(server)) {
        text_response(response, 200, "ok\n");
        return;
    }
    response->retry_after_s = 1;
    snprintf(text, sizeof text, "not ready: %s\n", weir_streams_state_name(server_state(server)));
    text_response(response, 503, text);
}

/* ---- state ----------------------------------------------------------------------------------- */

struct wanted_state {
    struct weir_json json;
    const char *data_type;              /* NULL = the one that came in force last */
    char of[MODELS_NAME_BYTES_MAX + 1]; /* found: data type and digest */
    uint8_t digest[32];
    struct statistics_copy statistics; /* the engine's own */
    bool has_statistics;
    int64_t activated_ms, offset;
    bool found, write;
};

static void put_state(struct weir_json *json, const struct models_view *view,
                      const struct statistics_copy *statistics)
{
    weir_json_object_begin(json);
    weir_json_put_text(json, "name", view->name);
    weir_json_put_text(json, "description", view->description);
    weir_json_put_int(json, "since", view->since_ms);
    weir_json_put_uint(json, "usage", statistics->usage);
    weir_json_put_double(json, "duration", (double)statistics->duration_ns / 1e6);
    weir_json_put_double(json, "min", (double)statistics->min_ns / 1e6);
    weir_json_put_double(json, "max", (double)statistics->max_ns / 1e6);
    weir_json_put_text(json, "dataType", view->data_type);
    weir_json_put_text(json, "version", view->version);
    weir_json_put_text(json, "modelType", view->format == WEIR_FORMAT_PMML ? "PMML" : "TENSORFLOW");
    weir_json_put_int(json, "activated", view->activated_ms);
    weir_json_put_uint(json, "errors", statistics->errors);
    weir_json_object_end(json);
}

/* Called twice over all versions: first to find the one, then to write it. */
static void consider(void *opaque, const struct models_view *view)
{
    struct wanted_state *wanted = opaque;
    if (!view->in_force || (wanted->data_type && strcmp(wanted->data_type, view->data_type) != 0))
        return;
    if (wanted->write) {
        if (view->activated_ms == wanted->activated_ms && view->offset == wanted->offset &&
            wanted->found) {
            put_state(&wanted->json, view,
                      wanted->has_statistics ? &wanted->statistics : &view->statistics);
            wanted->found = false; /* once */
        }
        return;
    }
    if (!wanted->found || view->activated_ms > wanted->activated_ms ||
        (view->activated_ms == wanted->activated_ms && view->offset > wanted->offset)) {
        wanted->found = true;
        snprintf(wanted->of, sizeof wanted->of, "%s", view->data_type);
        memcpy(wanted->digest, view->digest, sizeof wanted->digest);
        wanted->activated_ms = view->activated_ms;
        wanted->offset = view->offset;
    }
}

static const char empty_state[] = "{\"name\":\"None\",\"description\":\"None\",\"since\":0,"
                                  "\"usage\":0,\"duration\":0.0,\"min\":0,\"max\":0}";

/* Where the engine keeps statistics in stores. False: it can't say now, and the answer is made. */
static bool ask_engine(struct server *server, struct wanted_state *wanted,
                       struct http_response *response)
{
    struct weir_error error = {.code = WEIR_OK};
    if (!server->ops->statistics || !server->scoring.store)
        return true;
    if (server->ops->statistics(server, wanted->of, wanted->digest, &wanted->statistics, &error) ==
        WEIR_OK) {
        wanted->has_statistics = true;
        return true;
    }
    response->retry_after_s = 1;
    text_response(response, 503, error.message);
    return false;
}

static void answer_state(struct server *server, const char *data_type,
                         const struct http_request *request, struct http_response *response)
{
    struct wanted_state wanted = {.data_type = data_type};
    if (!is_running(server)) {
        readyz(server, request, response);
        return;
    }
    models_each(server->models, consider, &wanted);
    if (wanted.found && !ask_engine(server, &wanted, response))
        return;
    if (wanted.found) {
        wanted.write = true;
        weir_json_begin(&wanted.json, &response->body);
        models_each(server->models, consider, &wanted);
    }
    if (response->body.bytes) {
        finish_json(&wanted.json, response);
        return;
    }
    response->content_type = json_content; /* none, or withdrawn between the two looks */
    text_response(response, 200, empty_state);
}

static void state_value(void *opaque, const struct http_request *request,
                        struct http_response *response)
{
    answer_state(opaque, http_query(request, "dataType"), request, response);
}

static void state_of_type(void *opaque, const struct http_request *request,
                          struct http_response *response)
{
    answer_state(opaque, request->path + strlen("/state/"), request, response);
}

/* ---- models ---------------------------------------------------------------------------------- */

static void put_model(void *opaque, const struct models_view *view)
{
    struct weir_json *json = opaque;
    char digest[65];
    weir_hex_encode(view->digest, 32, digest);
    weir_json_object_begin(json);
    weir_json_put_text(json, "dataType", view->data_type);
    weir_json_put_text(json, "name", view->name);
    weir_json_put_text(json, "version", view->version);
    weir_json_put_text(json, "description", view->description);
    weir_json_put_text(json, "state", view->state);
    if (*view->reason)
        weir_json_put_text(json, "reason", view->reason);
    weir_json_put_text(json, "modelType", view->format == WEIR_FORMAT_PMML ? "PMML" : "TENSORFLOW");
    if (*view->algorithm)
        weir_json_put_text(json, "algorithm", view->algorithm);
    weir_json_put_text(json, "sha256", digest);
    weir_json_put_int(json, "partition", view->partition);
    weir_json_put_int(json, "offset", view->offset);
    weir_json_put_int(json, "since", view->since_ms);
    weir_json_put_int(json, "activated", view->activated_ms);
    weir_json_put_double(json, "loadMs", (double)view->load_ns / 1e6);
    weir_json_put_uint(json, "usage", view->statistics.usage);
    weir_json_put_uint(json, "errors", view->statistics.errors);
    weir_json_object_end(json);
}

static void list_models(void *opaque, const struct http_request *request,
                        struct http_response *response)
{
    struct server *server = opaque;
    struct weir_json json;
    (void)request;
    weir_json_begin(&json, &response->body);
    weir_json_object_begin(&json);
    weir_json_key(&json, "models");
    weir_json_array_begin(&json);
    models_each(server->models, put_model, &json);
    weir_json_array_end(&json);
    weir_json_object_end(&json);
    finish_json(&json, response);
}

struct types {
    struct weir_json json;
    const char *last; /* versions of a data type come one after the other */
};

static void put_type(void *opaque, const struct models_view *view)
{
    struct types *types = opaque;
    if (!types->last || strcmp(types->last, view->data_type) != 0)
        weir_json_text(&types->json, view->data_type);
    types->last = view->data_type;
}

static void list_types(void *opaque, const struct http_request *request,
                       struct http_response *response)
{
    struct server *server = opaque;
    struct types types = {.last = NULL};
    (void)request;
    weir_json_begin(&types.json, &response->body);
    weir_json_object_begin(&types.json);
    weir_json_key(&types.json, "models");
    weir_json_array_begin(&types.json);
    models_each(server->models, put_type, &types);
    weir_json_array_end(&types.json);
    weir_json_object_end(&types.json);
    finish_json(&types.json, response);
}

/* ---- the rest -------------------------------------------------------------------------------- */

static void metrics(void *opaque, const struct http_request *request,
                    struct http_response *response)
{
    (void)request;
    response->content_type = "text/plain; version=0.0.4; charset=utf-8";
    if (server_write_metrics(opaque, &response->body) == WEIR_OK)
        return;
    weir_buffer_clear(&response->body);
    response->content_type = "text/plain; charset=utf-8";
    text_response(response, 500, "There was an internal server error.");
}

static void topology(void *opaque, const struct http_request *request,
                     struct http_response *response)
{
    const struct server *server = opaque;
    (void)request;
    text_response(response, 200, server->description);
}

static void index_page(void *opaque, const struct http_request *request,
                       struct http_response *response)
{
    const struct server *server = opaque;
    bool flow = server->options.engine == SERVER_FLOW_CUSTOM;
    (void)request;
    text_response(response, 200,
                  flow ? "weir " WEIR_VERSION "\n\n"
                         "/state         the model in force and its statistics; /state/wine\n"
                         "/models        the data types that have models, as /processors\n"
                         "/versions      every model version known here\n"
                         "/topology      how records flow\n"
                         "/metrics       figures for Prometheus\n"
                         "/livez /readyz health\n"
                       : "weir " WEIR_VERSION "\n\n"
                         "/state/value   the model in force and its statistics (?dataType=wine)\n"
                         "/models        every model version known here\n"
                         "/topology      how records flow\n"
                         "/metrics       figures for Prometheus\n"
                         "/livez /readyz health\n");
}

uint32_t server_routes(struct server *server, struct http_route routes[SERVER_ROUTES_MAX])
{
    const struct http_route both[] = {{"/", index_page, server},
                                      {"/livez", livez, server},
                                      {"/readyz", readyz, server},
                                      {"/metrics", metrics, server},
                                      {"/topology", topology, server}};
    const struct http_route streams[] = {{"/state/value", state_value, server},
                                         {"/models", list_models, server}};
    const struct http_route flow[] = {{"/state", state_value, server},
                                      {"/state/*", state_of_type, server},
                                      {"/models", list_types, server},
                                      {"/processors", list_types, server},
                                      {"/versions", list_models, server}};
    bool is_flow = server->options.engine == SERVER_FLOW_CUSTOM;
    size_t own = is_flow ? WEIR_ARRAY_COUNT(flow) : WEIR_ARRAY_COUNT(streams);
    _Static_assert(WEIR_ARRAY_COUNT(both) + WEIR_ARRAY_COUNT(flow) <= SERVER_ROUTES_MAX, "room");
    memcpy(routes, both, sizeof both);
    memcpy(routes + WEIR_ARRAY_COUNT(both), is_flow ? flow : streams, own * sizeof *routes);
    return (uint32_t)(WEIR_ARRAY_COUNT(both) + own);
}
