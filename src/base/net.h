/*
 * base/net.h - the seam of sockets: addresses as text, and TCP sockets that don't block.
 *
 * What:    HOST:PORT to an endpoint and back; listen, accept, connect, read and write.
 * Life:    a socket is a file descriptor; its owner closes it with weir_net_close.
 * Threads: any; one socket by one thread at a time.
 * Memory:  none is allocated here.
 * Errors:  INVALID (malformed address), NOT_FOUND (unknown name), IN_USE (port taken), DENIED, IO,
 *          AGAIN (would block), END (the other side closed), CLOSED (reset).
 *
 * All sockets are non-blocking, close-on-exec and TCP_NODELAY. Only weir_net_resolve and those that
 * call it (listen) may wait, on a name server.
 */
#ifndef WEIR_BASE_NET_H
#define WEIR_BASE_NET_H

#include <sys/socket.h>
#include <sys/uio.h>

#include <weir/base.h>

enum { WEIR_NET_HOST_MAX = 253, WEIR_NET_TEXT_MAX = WEIR_NET_HOST_MAX + 10 };

/* Where somebody listens, as written by people. */
struct weir_endpoint {
    char host[WEIR_NET_HOST_MAX + 1]; /* name, IPv4, or IPv6 without brackets; never empty */
    uint16_t port;                    /* 0 = any free port, for listen only */
};

/* A resolved address. */
struct weir_address {
    struct sockaddr_storage storage;
    socklen_t bytes;
};

/* Reads "HOST:PORT", "1.2.3.4:80", "[::1]:80", ":80" (all addresses: 0.0.0.0) or "HOST" alone if
 * port_default >= 0. A host without brackets has no colon. INVALID. */
WEIR_MUST_USE enum weir_err weir_net_parse(const char *text, int port_default,
                                           struct weir_endpoint *out, struct weir_error *error);
/* Writes "host:port" or "[v6]:port" into text[WEIR_NET_TEXT_MAX]. */
void weir_net_format(const struct weir_endpoint *endpoint, char *text);
/* 127.0.0.0/8, ::1, "localhost" and names below it. Other names count as not loopback. */
bool weir_net_is_loopback(const struct weir_endpoint *endpoint);

/* Finds up to address_max addresses; may wait. NOT_FOUND, AGAIN-like trouble is IO + retriable. */
WEIR_MUST_USE enum weir_err weir_net_resolve(const struct weir_endpoint *endpoint,
                                             struct weir_address *addresses, size_t address_max,
                                             size_t *count_out, struct weir_error *error);
/* Opens a listening socket on the first address that works. IN_USE: "port 9092 on 127.0.0.1 is in
 * use by another process". *port_out (may be NULL) is the real port. */
WEIR_MUST_USE enum weir_err weir_net_listen(const struct weir_endpoint *endpoint, int backlog,
                                            int *fd_out, uint16_t *port_out,
                                            struct weir_error *error);
/* AGAIN: nobody waits. LIMIT: no free descriptor (the connection stays in the backlog). *peer_out
 * may be NULL. */
WEIR_MUST_USE enum weir_err weir_net_accept(int listen_fd, int *fd_out,
                                            struct weir_address *peer_out,
                                            struct weir_error *error);
/* Begins to connect. OK: connected; AGAIN: *fd_out is valid, wait until it is writable and ask
 * weir_net_connect_result. */
WEIR_MUST_USE enum weir_err weir_net_connect(const struct weir_address *address, int *fd_out,
                                             struct weir_error *error);
WEIR_MUST_USE enum weir_err weir_net_connect_result(int fd, struct weir_error *error);

/* Reads up to `bytes`: OK with *count_out > 0, AGAIN, END, CLOSED, IO. */
WEIR_MUST_USE enum weir_err weir_net_read(int fd, void *into, size_t bytes, size_t *count_out,
                                          struct weir_error *error);
/* Writes some: OK with *count_out > 0 (perhaps not all), AGAIN, CLOSED, IO. Raises no SIGPIPE. */
WEIR_MUST_USE enum weir_err weir_net_write(int fd, const void *data, size_t bytes,
                                           size_t *count_out, struct weir_error *error);
WEIR_MUST_USE enum weir_err weir_net_writev(int fd, const struct iovec *parts, int count,
                                            size_t *count_out, struct weir_error *error);
/* Lets the system find out within some five minutes, of a connection that is quiet or has bytes on
 * the way, that nobody is at its other end any more; reads then give CLOSED. */
void weir_net_keepalive(int fd);
/* fd -1 is allowed. */
void weir_net_close(int fd);

/* An address as endpoint with a numeric host. */
void weir_net_endpoint_of(const struct weir_address *address, struct weir_endpoint *out);
/* Port a socket is bound to; 0 if unknown. */
uint16_t weir_net_local_port(int fd);

#endif
