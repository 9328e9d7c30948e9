/*
 * broker/listeners.c - where the broker listens: which protocol at which address, and who is let
 * in by it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "broker/inside.h"

enum {
    PORT_DEFAULT = 9092,
    BACKLOG = 512,
    ACCEPT_AGAIN_MS = 100, /* when there are no descriptors */
    ITEM_BYTES_MAX = WEIR_NET_TEXT_MAX + 32,
};

static const char *const names[SECURITIES] = {"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"};

const char *broker_security_name(enum security security)
{
    return names[security];
}

/* ---- the options ----------------------------------------------------------------------------- */

/* One of "PROTOCOL://host:port". Without a protocol *named_out is false. */
static enum weir_err parse_item(const char *setting, const char *item, enum security *security_out,
                                bool *named_out, struct weir_endpoint *endpoint_out,
                                struct weir_error *error)
{
    const char *at = strstr(item, "://");
    *security_out = SECURITY_PLAINTEXT;
    *named_out = at != NULL;
    if (at) {
        int found = -1;
        for (int i = 0; i < SECURITIES; i++)
            if (strlen(names[i]) == (size_t)(at - item) &&
                strncasecmp(item, names[i], (size_t)(at - item)) == 0)
                found = i;
        if (found < 0)
            return weir_error_set(error, WEIR_INVALID, -1,
                                  "%s: \"%.60s\" does not begin with PLAINTEXT://, SSL://, "
                                  "SASL_PLAINTEXT:// or SASL_SSL://",
                                  setting, item);
        *security_out = (enum security)found;
        item = at + 3;
    }
    enum weir_err err = weir_net_parse(item, PORT_DEFAULT, endpoint_out, error);
    if (err != WEIR_OK)
        weir_error_context(error, "%s", setting);
    return err;
}

/* Calls `each` for the items between commas. */
static enum weir_err each_item(struct weir_broker *broker, const char *setting, const char *text,
                               enum weir_err (*each)(struct weir_broker *broker, const char *item,
                                                     struct weir_error *error),
                               struct weir_error *error)
{
    enum weir_err err = WEIR_OK;
    while (*text && err == WEIR_OK) {
        char item[ITEM_BYTES_MAX];
        text += strspn(text, " ,");
        size_t bytes = strcspn(text, " ,");
        if (!bytes)
            break;
        if (bytes >= sizeof item)
            return weir_error_set(error, WEIR_INVALID, -1, "%s: \"%.60s...\" is too long", setting,
                                  text);
        memcpy(item, text, bytes);
        item[bytes] = '\0';
        err = each(broker, item, error);
        text += bytes;
    }
    return err;
}

static struct listener *find(struct weir_broker *broker, enum security security)
{
    for (uint32_t i = 0; i < broker->listener_count; i++)
        if (broker->listeners[i].security == security)
            return &broker->listeners[i];
    return NULL;
}

static enum weir_err add_listener(struct weir_broker *broker, const char *item,
                                  struct weir_error *error)
{
    struct listener listener = {.broker = broker, .fd = -1};
    bool named;
    enum weir_err err =
        parse_item("listeners", item, &listener.security, &named, &listener.endpoint, error);
    if (err != WEIR_OK)
        return err;
    if (find(broker, listener.security))
        return weir_error_set(error, WEIR_INVALID, -1, "listeners: %s is there twice",
                              names[listener.security]);
    broker->listeners[broker->listener_count++] = listener;
    return WEIR_OK;
}

static enum weir_err add_advertised(struct weir_broker *broker, const char *item,
                                    struct weir_error *error)
{
    enum security security;
    struct weir_endpoint endpoint;
    bool named;
    enum weir_err err =
        parse_item("advertised.listeners", item, &security, &named, &endpoint, error);
    if (err != WEIR_OK)
        return err;
    struct listener *listener = named ? find(broker, security) : &broker->listeners[0];
    if (!listener)
        return weir_error_set(error, WEIR_INVALID, -1,
                              "advertised.listeners: %s is not among the listeners",
                              names[security]);
    listener->advertised = endpoint;
    return WEIR_OK;
}

/* Outside the loopback only with TLS and authentication. */
static enum weir_err check_exposed(const struct weir_broker *broker,
                                   const struct listener *listener, struct weir_error *error)
{
    char text[WEIR_NET_TEXT_MAX];
    bool known = security_has_sasl(listener->security) ||
                 broker->options.tls.client_auth == WEIR_BROKER_CLIENT_AUTH_REQUIRED;
    if (broker->options.insecure || weir_net_is_loopback(&listener->endpoint) ||
        (security_has_tls(listener->security) && known))
        return WEIR_OK;
    weir_net_format(&listener->endpoint, text);
    return weir_error_set(error, WEIR_DENIED, -1,
                          "%s://%s is not a loopback address, and there is not both TLS and "
                          "authentication; listen at SASL_SSL://%s, or give --insecure if "
                          "everybody who reaches it may use it",
                          names[listener->security], text, text);
}

enum weir_err broker_listeners_parse(struct weir_broker *broker, struct weir_error *error)
{
    const struct weir_broker_options *options = &broker->options;
    enum weir_err err = each_item(broker, "listeners", options->listen, add_listener, error);
    if (err == WEIR_OK && !broker->listener_count)
        err = weir_error_set(error, WEIR_INVALID, -1, "listeners: there is none");
    if (err == WEIR_OK && options->advertised)
        err = each_item(broker, "advertised.listeners", options->advertised, add_advertised, error);
    for (uint32_t i = 0; i < broker->listener_count && err == WEIR_OK; i++)
        err = check_exposed(broker, &broker->listeners[i], error);
    bool tls = find(broker, SECURITY_SSL) || find(broker, SECURITY_SASL_SSL);
    if (err != WEIR_OK || !tls)
        return err;
    if (!options->tls.certificate_path)
        return weir_error_set(error, WEIR_INVALID, -1,
                              "a listener with TLS needs ssl.keystore.location: a PEM file with "
                              "the broker's certificate and private key");
    const struct tls_options tls_options = {.certificate_path = options->tls.certificate_path,
                                            .key_path = options->tls.key_path,
                                            .key_password = options->tls.key_password,
                                            .trust_path = options->tls.trust_path,
                                            .client_auth =
                                                (enum tls_client_auth)options->tls.client_auth};
    return tls_context_new(&tls_options, &broker->tls, error);
}

/* ---- listening ------------------------------------------------------------------------------- */

static void on_accept_again(struct weir_loop_timer *timer)
{
    struct listener *listener = timer->opaque;
    weir_loop_fd_interest(&listener->handle, WEIR_LOOP_READ);
}

static void on_accept(struct weir_loop_fd *handle, unsigned events)
{
    struct listener *listener = handle->opaque;
    struct weir_broker *broker = listener->broker;
    struct weir_address peer;
    struct weir_error error;
    enum weir_err err;
    int fd;
    (void)events;
    while ((err = weir_net_accept(listener->fd, &fd, &peer, &error)) == WEIR_OK) {
        if (atomic_load(&broker->stats.connections) < broker->options.connections_max) {
            broker_connection_adopt(listener, fd, &peer);
        } else {
            weir_net_close(fd);
            weir_log(&broker->options.log, WEIR_LOG_WARN, "broker",
                     "a connection was refused: there are %u already (max.connections)",
                     broker->options.connections_max);
        }
    }
    if (err == WEIR_AGAIN)
        return;
    /* No descriptors: the connection stays in the backlog, and would call us again at once. */
    weir_log(&broker->options.log, WEIR_LOG_WARN, "broker", "%s", error.message);
    if (weir_loop_timer_start(&listener->again, ACCEPT_AGAIN_MS, 0) == WEIR_OK)
        weir_loop_fd_interest(handle, 0);
}

/* All addresses: nothing that a client could be told to connect to. */
static bool is_wildcard(const struct weir_endpoint *endpoint)
{
    return strcmp(endpoint->host, "0.0.0.0") == 0 || strcmp(endpoint->host, "::") == 0;
}

static enum weir_err open_listener(struct listener *listener, struct weir_error *error)
{
    struct weir_broker *broker = listener->broker;
    enum weir_err err = weir_net_listen(&listener->endpoint, BACKLOG, &listener->fd,
                                        &listener->endpoint.port, error);
    if (err != WEIR_OK)
        return err;
    if (*listener->advertised.host && !listener->advertised.port)
        listener->advertised.port = listener->endpoint.port;
    if (!*listener->advertised.host && !is_wildcard(&listener->endpoint))
        listener->advertised = listener->endpoint;
    weir_net_format(*listener->advertised.host ? &listener->advertised : &listener->endpoint,
                    listener->address);
    listener->handle.opaque = listener;
    weir_loop_timer_init(broker->loop, &listener->again, on_accept_again);
    listener->again.opaque = listener;
    err = weir_loop_fd_open(broker->loop, &listener->handle, listener->fd, WEIR_LOOP_READ,
                            on_accept, error);
    listener->open = err == WEIR_OK;
    return err;
}

enum weir_err broker_listeners_open(struct weir_broker *broker, struct weir_error *error)
{
    enum weir_err err = WEIR_OK;
    for (uint32_t i = 0; i < broker->listener_count && err == WEIR_OK; i++)
        err = open_listener(&broker->listeners[i], error);
    return err;
}

void broker_listeners_close(struct weir_broker *broker)
{
    for (uint32_t i = 0; i < broker->listener_count; i++) {
        struct listener *listener = &broker->listeners[i];
        if (listener->open) {
            weir_loop_fd_close(&listener->handle, NULL);
            weir_loop_timer_stop(&listener->again);
        }
        listener->open = false;
        weir_net_close(listener->fd);
        listener->fd = -1;
    }
}
