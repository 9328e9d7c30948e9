/* Addresses as text, and TCP sockets that don't block: base/net.h. */
#include "base/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/errno_error.h"
#include "base/number.h"

/* ---- text */

static enum weir_err malformed(struct weir_error *error, const char *text, const char *why)
{
    return weir_error_set(error, WEIR_INVALID, -1,
                          "\"%.100s\": %s (expected HOST:PORT, for example 127.0.0.1:9092)", text,
                          why);
}

/* Letters, digits and what stands in names and addresses; nothing that could be anything else. */
static bool is_host_character(char c, bool bracketed)
{
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.')
        return true;
    return bracketed ? c == ':' || c == '%' : c == '-' || c == '_';
}

static enum weir_err parse_port(const char *text, const char *whole, uint16_t *out,
                                struct weir_error *error)
{
    uint64_t port = 0;

    if (*text == '+' || weir_parse_uint64(weir_slice(text, strlen(text)), &port) != WEIR_OK ||
        port > 65535)
        return malformed(error, whole, "the port is not a number from 0 to 65535");
    *out = (uint16_t)port;
    return WEIR_OK;
}

enum weir_err weir_net_parse(const char *text, int port_default, struct weir_endpoint *out,
                             struct weir_error *error)
{
    const char *host = text, *host_end, *port = NULL;
    bool bracketed = *text == '[';
    struct in6_addr v6;
    size_t bytes;

    if (bracketed) {
        host++;
        host_end = strchr(host, ']');
        if (host_end == NULL)
            return malformed(error, text, "the bracket is not closed");
        if (host_end[1] == ':')
            port = host_end + 2;
        else if (host_end[1] != '\0')
            return malformed(error, text, "only a port may follow the bracket");
    } else {
        host_end = strchr(text, ':');
        if (host_end != NULL)
            port = host_end + 1;
        else
            host_end = text + strlen(text);
        if (port != NULL && strchr(port, ':') != NULL)
            return malformed(error, text, "IPv6 addresses stand in brackets: [::1]:9092");
    }
    bytes = (size_t)(host_end - host);
    if (bytes > WEIR_NET_HOST_MAX)
        return malformed(error, text, "the host is too long");
    for (size_t i = 0; i < bytes; i++)
        if (!is_host_character(host[i], bracketed))
            return malformed(error, text, "the host has a character that no host has");
    memset(out, 0, sizeof *out);
    memcpy(out->host, host, bytes);
    if (bytes == 0) {
        if (bracketed || port == NULL)
            return malformed(error, text, "the host is missing");
        memcpy(out->host, "0.0.0.0", sizeof "0.0.0.0");
    }
    if (bracketed && strchr(out->host, '%') == NULL && inet_pton(AF_INET6, out->host, &v6) != 1)
        return malformed(error, text, "not an IPv6 address in the brackets");
    if (port != NULL)
        return parse_port(port, text, &out->port, error);
    if (port_default < 0 || port_default > 65535)
        return malformed(error, text, "the port is missing");
    out->port = (uint16_t)port_default;
    return WEIR_OK;
}

void weir_net_format(const struct weir_endpoint *endpoint, char *text)
{
    bool v6 = strchr(endpoint->host, ':') != NULL;

    snprintf(text, WEIR_NET_TEXT_MAX, "%s%s%s:%u", v6 ? "[" : "", endpoint->host, v6 ? "]" : "",
             (unsigned)endpoint->port);
}

bool weir_net_is_loopback(const struct weir_endpoint *endpoint)
{
    static const char name[] = "localhost";
    const char *host = endpoint->host;
    size_t bytes = strlen(host), name_bytes = sizeof name - 1;
    struct in_addr v4;
    struct in6_addr v6;

    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    if (inet_pton(AF_INET6, host, &v6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
    if (bytes < name_bytes || strcasecmp(host + bytes - name_bytes, name) != 0)
        return false;
    return bytes == name_bytes || host[bytes - name_bytes - 1] == '.';
}

/* ---- addresses */

enum weir_err weir_net_resolve(const struct weir_endpoint *endpoint, struct weir_address *addresses,
                               size_t address_max, size_t *count_out, struct weir_error *error)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    char port[8];
    int failure;

    snprintf(port, sizeof port, "%u", (unsigned)endpoint->port);
    failure = getaddrinfo(endpoint->host, port, &hints, &found);
    if (failure != 0) {
        enum weir_err code = failure == EAI_MEMORY                           ? WEIR_NOMEM
                             : failure == EAI_AGAIN || failure == EAI_SYSTEM ? WEIR_IO
                                                                             : WEIR_NOT_FOUND;
        weir_error_set(error, code, -1, "host %s: %s", endpoint->host, gai_strerror(failure));
        if (error != NULL)
            error->retriable = failure == EAI_AGAIN;
        return code;
    }
    *count_out = 0;
    for (struct addrinfo *at = found; at != NULL && *count_out < address_max; at = at->ai_next) {
        struct weir_address *address = &addresses[*count_out];
        if (at->ai_addrlen > sizeof address->storage)
            continue;
        memset(address, 0, sizeof *address);
        memcpy(&address->storage, at->ai_addr, at->ai_addrlen);
        address->bytes = at->ai_addrlen;
        ++*count_out;
    }
    freeaddrinfo(found);
    return WEIR_OK;
}

void weir_net_endpoint_of(const struct weir_address *address, struct weir_endpoint *out)
{
    memset(out, 0, sizeof *out);
    if (address->storage.ss_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, &address->storage, sizeof v4);
        inet_ntop(AF_INET, &v4.sin_addr, out->host, sizeof out->host);
        out->port = ntohs(v4.sin_port);
    } else if (address->storage.ss_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, &address->storage, sizeof v6);
        inet_ntop(AF_INET6, &v6.sin6_addr, out->host, sizeof out->host);
        out->port = ntohs(v6.sin6_port);
    } else {
        memcpy(out->host, "?", 2);
    }
}

uint16_t weir_net_local_port(int fd)
{
    struct weir_address address = {.bytes = sizeof address.storage};
    struct weir_endpoint endpoint;

    if (getsockname(fd, (struct sockaddr *)&address.storage, &address.bytes) != 0)
        return 0;
    weir_net_endpoint_of(&address, &endpoint);
    return endpoint.port;
}

static void describe(const struct weir_address *address, char *text)
{
    struct weir_endpoint endpoint;

    weir_net_endpoint_of(address, &endpoint);
    weir_net_format(&endpoint, text);
}

/* ---- sockets */

static enum weir_err open_socket(const struct weir_address *address, int *fd_out,
                                 struct weir_error *error)
{
    const int on = 1;

    *fd_out = socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (*fd_out < 0)
        return weir_errno_set(error, errno, "socket", "open");
    /* Small answers must not wait for acknowledgements of earlier ones. */
    setsockopt(*fd_out, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return WEIR_OK;
}

static enum weir_err listen_on(const struct weir_address *address, int backlog, int *fd_out,
                               struct weir_error *error)
{
    char text[WEIR_NET_TEXT_MAX];
    struct weir_endpoint endpoint;
    const int on = 1;
    enum weir_err err = open_socket(address, fd_out, error);

    if (err != WEIR_OK)
        return err;
    /* Without this a server can't come back while old connections fade out. */
    setsockopt(*fd_out, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(*fd_out, (const struct sockaddr *)&address->storage, address->bytes) == 0 &&
        listen(*fd_out, backlog) == 0)
        return WEIR_OK;
    weir_net_endpoint_of(address, &endpoint);
    describe(address, text);
    if (errno == EADDRINUSE)
        err = weir_error_set(error, WEIR_IN_USE, -1,
                             "port %u on %s is in use by another process: stop it or choose "
                             "another port",
                             (unsigned)endpoint.port, endpoint.host);
    else
        err = weir_errno_set(error, errno, text, "listen");
    weir_net_close(*fd_out);
    *fd_out = -1;
    return err;
}

enum weir_err weir_net_listen(const struct weir_endpoint *endpoint, int backlog, int *fd_out,
                              uint16_t *port_out, struct weir_error *error)
{
    struct weir_address addresses[8];
    size_t count = 0;
    enum weir_err err = weir_net_resolve(endpoint, addresses, 8, &count, error);

    if (err != WEIR_OK)
        return err;
    err = WEIR_NOT_FOUND;
    for (size_t i = 0; i < count && err != WEIR_OK; i++) {
        err = listen_on(&addresses[i], backlog, fd_out, error);
        /* Trying ::1 when 127.0.0.1 is taken would hide the clash. */
        if (err == WEIR_IN_USE)
            break;
    }
    if (err == WEIR_OK && port_out != NULL)
        *port_out = weir_net_local_port(*fd_out);
    return err;
}

enum weir_err weir_net_accept(int listen_fd, int *fd_out, struct weir_address *peer_out,
                              struct weir_error *error)
{
    struct weir_address peer = {.bytes = sizeof peer.storage};
    const int on = 1;
    int fd;

    /* Connections that died while they waited are nobody's trouble: accept(2), Error handling. */
    do
        fd = accept4(listen_fd, (struct sockaddr *)&peer.storage, &peer.bytes,
                     SOCK_NONBLOCK | SOCK_CLOEXEC);
    while (fd < 0 && (errno == EINTR || errno == ECONNABORTED || errno == EPROTO));
    if (fd < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return WEIR_AGAIN;
    if (fd < 0)
        return weir_errno_set(error, errno, "socket", "accept");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    *fd_out = fd;
    if (peer_out != NULL)
        *peer_out = peer;
    return WEIR_OK;
}

enum weir_err weir_net_connect(const struct weir_address *address, int *fd_out,
                               struct weir_error *error)
{
    char text[WEIR_NET_TEXT_MAX];
    enum weir_err err = open_socket(address, fd_out, error);

    if (err != WEIR_OK)
        return err;
    if (connect(*fd_out, (const struct sockaddr *)&address->storage, address->bytes) == 0)
        return WEIR_OK;
    /* Interrupted or not, it goes on in the background. */
    if (errno == EINPROGRESS || errno == EINTR)
        return WEIR_AGAIN;
    describe(address, text);
    err = weir_errno_set(error, errno, text, "connect");
    weir_net_close(*fd_out);
    *fd_out = -1;
    return err;
}

enum weir_err weir_net_connect_result(int fd, struct weir_error *error)
{
    struct weir_address peer = {.bytes = sizeof peer.storage};
    int failure = 0;
    socklen_t bytes = sizeof failure;

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &bytes) != 0)
        failure = errno;
    if (failure != 0)
        return weir_errno_set(error, failure, "socket", "connect");
    if (getpeername(fd, (struct sockaddr *)&peer.storage, &peer.bytes) == 0)
        return WEIR_OK;
    return errno == ENOTCONN ? WEIR_AGAIN : weir_errno_set(error, errno, "socket", "connect");
}

/* What a read or write that gave `done` means. */
static enum weir_err transferred(ssize_t done, const char *what, size_t *count_out,
                                 struct weir_error *error)
{
    *count_out = done > 0 ? (size_t)done : 0;
    if (done >= 0)
        return WEIR_OK;
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
        return WEIR_AGAIN;
    return weir_errno_set(error, errno, "socket", what);
}

enum weir_err weir_net_read(int fd, void *into, size_t bytes, size_t *count_out,
                            struct weir_error *error)
{
    ssize_t done = recv(fd, into, bytes, 0);

    if (done == 0 && bytes > 0) {
        *count_out = 0;
        return WEIR_END;
    }
    return transferred(done, "read", count_out, error);
}

enum weir_err weir_net_write(int fd, const void *data, size_t bytes, size_t *count_out,
                             struct weir_error *error)
{
    return transferred(send(fd, data, bytes, MSG_NOSIGNAL), "write", count_out, error);
}

enum weir_err weir_net_writev(int fd, const struct iovec *parts, int count, size_t *count_out,
                              struct weir_error *error)
{
    /* writev would raise SIGPIPE. sendmsg does not change what the parts point to. */
    union {
        const struct iovec *given;
        struct iovec *wanted;
    } list = {.given = parts};
    struct msghdr message = {.msg_iov = list.wanted, .msg_iovlen = (size_t)count};

    return transferred(sendmsg(fd, &message, MSG_NOSIGNAL), "write", count_out, error);
}

void weir_net_keepalive(int fd)
{
    const int on = 1, idle_s = 120, interval_s = 30, count = 6;
    const unsigned unsent_ms = 300000;

    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unsent_ms, sizeof unsent_ms);
}

void weir_net_close(int fd)
{
    if (fd >= 0)
        close(fd);
}
