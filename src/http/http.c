/*
 * http/http.c - routes on libmicrohttpd, see http.h.
 *
 * libmicrohttpd runs one thread on epoll, which calls `answer` for each request; handlers answer
 * from memory, so that one thread is enough.
 */
#include "http/http.h"

#include <microhttpd.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

enum { CONNECTION_POOL_BYTES = 16 << 10, CONNECTIONS_PER_ADDRESS_MAX = 128 };

struct http_server {
    struct MHD_Daemon *daemon;
    struct http_route *routes;
    uint32_t route_count;
    struct weir_log log;
    char address[WEIR_NET_TEXT_MAX];
};

const char *http_query(const struct http_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->impl, MHD_GET_ARGUMENT_KIND, name);
}

/* ---- answering ------------------------------------------------------------------------------- */

static enum MHD_Result send_response(struct MHD_Connection *connection,
                                     struct http_response *response)
{
    char retry[16];
    size_t bytes = response->body.bytes;
    void *body = weir_buffer_detach(&response->body);
    struct MHD_Response *reply =
        MHD_create_response_from_buffer_with_free_callback(bytes, body, weir_free);
    if (!reply) {
        weir_free(body);
        return MHD_NO;
    }
    MHD_add_response_header(reply, MHD_HTTP_HEADER_CONTENT_TYPE, response->content_type);
    MHD_add_response_header(reply, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    MHD_add_response_header(reply, "X-Content-Type-Options", "nosniff");
    if (response->status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(reply, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    if (response->retry_after_s) {
        snprintf(retry, sizeof retry, "%u", response->retry_after_s);
        MHD_add_response_header(reply, MHD_HTTP_HEADER_RETRY_AFTER, retry);
    }
    enum MHD_Result result = MHD_queue_response(connection, response->status, reply);
    MHD_destroy_response(reply);
    return result;
}

static void refuse(struct http_response *response, unsigned status, const char *text)
{
    response->status = status;
    response->content_type = "text/plain; charset=utf-8";
    weir_buffer_clear(&response->body);
    if (weir_buffer_append_text(&response->body, text) != WEIR_OK)
        weir_buffer_clear(&response->body);
}

static bool matches(const char *pattern, const char *path)
{
    size_t length = strlen(pattern);
    if (length >= 2 && strcmp(pattern + length - 2, "/*") == 0)
        return strncmp(pattern, path, length - 1) == 0;
    return strcmp(pattern, path) == 0;
}

static const struct http_route *find_route(const struct http_server *server, const char *path)
{
    for (uint32_t i = 0; i < server->route_count; i++)
        if (matches(server->routes[i].path, path))
            return &server->routes[i];
    return NULL;
}

static bool has_body(struct MHD_Connection *connection)
{
    const char *length =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
    return (length && strcmp(length, "0") != 0) ||
           MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
                                       MHD_HTTP_HEADER_TRANSFER_ENCODING);
}

/* The first call, with the headers read; what must not have a body is answered at once. */
static enum MHD_Result answer(void *opaque, struct MHD_Connection *connection, const char *path,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_bytes, void **state)
{
    const struct http_server *server = opaque;
    struct http_request request = {.path = path, .impl = connection};
    struct http_response response = {.status = MHD_HTTP_OK,
                                     .content_type = "text/plain; charset=utf-8"};
    (void)version;
    (void)upload;
    (void)upload_bytes;
    (void)state;
    weir_buffer_init(&response.body, HTTP_RESPONSE_BYTES_MAX);
    const struct http_route *route = find_route(server, path);
    if (!route)
        refuse(&response, MHD_HTTP_NOT_FOUND, "The requested resource could not be found.");
    else if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        refuse(&response, MHD_HTTP_METHOD_NOT_ALLOWED,
               "HTTP method not allowed, supported methods: GET, HEAD");
    else if (has_body(connection))
        refuse(&response, MHD_HTTP_CONTENT_TOO_LARGE, "No body is taken here.");
    else
        route->handle(route->opaque, &request, &response);
    enum MHD_Result result = send_response(connection, &response);
    weir_buffer_release(&response.body);
    return result;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void log_line(void *opaque, const char *format, va_list args) WEIR_PRINTF(2, 0);

static void log_line(void *opaque, const char *format, va_list args)
{
    const struct http_server *server = opaque;
    char line[256];
    vsnprintf(line, sizeof line, format, args);
    line[strcspn(line, "\r\n")] = '\0';
    weir_log(&server->log, WEIR_LOG_DEBUG, "http", "%s", line);
}

static enum weir_err copy_routes(struct http_server *server, const struct http_options *options)
{
    server->routes = weir_calloc(options->route_count, sizeof *server->routes);
    if (!server->routes)
        return WEIR_NOMEM;
    memcpy(server->routes, options->routes, options->route_count * sizeof *server->routes);
    server->route_count = options->route_count;
    return WEIR_OK;
}

enum weir_err http_start(const struct http_options *options, struct http_server **server_out,
                         struct weir_error *error)
{
    struct weir_endpoint listen = options->listen;
    int fd;
    if (!options->insecure && !weir_net_is_loopback(&listen))
        return weir_error_set(error, WEIR_DENIED, -1,
                              "http: %s is not a loopback address, and there is no authentication "
                              "here; give --insecure if everybody who reaches it may read it",
                              listen.host);
    enum weir_err err = weir_net_listen(&listen, 64, &fd, &listen.port, error);
    if (err != WEIR_OK) {
        weir_error_context(error, "http");
        return err;
    }
    struct http_server *server = weir_calloc(1, sizeof *server);
    if (!server || copy_routes(server, options) != WEIR_OK) {
        weir_net_close(fd);
        weir_free(server);
        return weir_error_set(error, WEIR_NOMEM, -1, "http: no memory");
    }
    server->log = options->log;
    weir_net_format(&listen, server->address);
    server->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ERROR_LOG, 0, NULL, NULL, answer, server,
        MHD_OPTION_EXTERNAL_LOGGER, log_line, server, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTP_CONNECTIONS_MAX,
        MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned)CONNECTIONS_PER_ADDRESS_MAX,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)HTTP_IDLE_SECONDS,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_POOL_BYTES, MHD_OPTION_END);
    if (!server->daemon) {
        weir_net_close(fd);
        weir_free(server->routes);
        weir_free(server);
        return weir_error_set(error, WEIR_IO, -1, "http: the server thread can't be started");
    }
    *server_out = server;
    return WEIR_OK;
}

const char *http_address(const struct http_server *server)
{
    return server->address;
}

void http_stop(struct http_server *server)
{
    if (!server)
        return;
    MHD_stop_daemon(server->daemon); /* closes the listening socket, too */
    weir_free(server->routes);
    weir_free(server);
}
