/*
 * http/http.h - a small HTTP server: routes, answered from memory.
 *
 * What:    libmicrohttpd behind a table of routes. Handlers answer with a buffer; they must not
 *          block. Only GET and HEAD exist here; bodies are refused.
 * Life:    http_start -> http_stop. Routes and their opaques are borrowed in between.
 * Threads: one thread of its own calls the handlers, one at a time.
 * Memory:  a response is built in a weir_buffer of at most HTTP_RESPONSE_BYTES_MAX; connections are
 *          capped at HTTP_CONNECTIONS_MAX, each with a fixed pool.
 * Errors:  http_start: IN_USE (port taken), DENIED (bind outside the loopback without `insecure`),
 *          INVALID, IO, NOMEM. Unknown path 404, wrong method 405, body 413, each in plain words.
 */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include <weir/base.h>

#include "base/buffer.h"
#include "base/net.h"

enum { HTTP_CONNECTIONS_MAX = 256, HTTP_RESPONSE_BYTES_MAX = 8 << 20, HTTP_IDLE_SECONDS = 15 };

struct http_server;

struct http_request {
    const char *path; /* decoded, without the query */
    void *impl;
};

/* Value of a query parameter, decoded; NULL if it is absent. Borrowed for the call. */
const char *http_query(const struct http_request *request, const char *name);

struct http_response {
    unsigned status;          /* [200] */
    const char *content_type; /* static text [text/plain; charset=utf-8] */
    uint32_t retry_after_s;   /* 0 = no such header */
    struct weir_buffer body;
};

struct http_route {
    const char *path; /* "/state/value"; an end in "/" followed by "*" takes what follows */
    void (*handle)(void *opaque, const struct http_request *request,
                   struct http_response *response);
    void *opaque;
};

struct http_options {
    struct weir_endpoint listen; /* port 0 = any free one */
    bool insecure;               /* allows to bind outside the loopback */
    const struct http_route *routes;
    uint32_t route_count;
    struct weir_log log;
};

enum weir_err http_start(const struct http_options *options, struct http_server **server_out,
                         struct weir_error *error);
/* Where it listens now: "127.0.0.1:8888". Borrowed until stop. */
const char *http_address(const struct http_server *server);
/* Answers what is under way and ends. NULL is allowed. */
void http_stop(struct http_server *server);

#endif
