/* Addresses as text, sockets on loopback. */
#include "cmocka_all.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/net.h"

static void addresses_are_read_and_written(void **state)
{
    static const struct {
        const char *text;
        int port_default;
        const char *host;
        uint16_t port;
        const char *written;
    } cases[] = {
        {"127.0.0.1:9092", -1, "127.0.0.1", 9092, "127.0.0.1:9092"},
        {"[::1]:80", -1, "::1", 80, "[::1]:80"},
        {"[fe80::1%eth0]:80", -1, "fe80::1%eth0", 80, "[fe80::1%eth0]:80"},
        {"kafka-1.example.org:0", -1, "kafka-1.example.org", 0, "kafka-1.example.org:0"},
        {":8080", -1, "0.0.0.0", 8080, "0.0.0.0:8080"},
        {"localhost", 65535, "localhost", 65535, "localhost:65535"},
        {"[::]", 1, "::", 1, "[::]:1"},
    };
    struct weir_endpoint endpoint;
    char text[WEIR_NET_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_COUNT(cases); i++) {
        assert_int_equal(weir_net_parse(cases[i].text, cases[i].port_default, &endpoint, NULL),
                         WEIR_OK);
        assert_string_equal(endpoint.host, cases[i].host);
        assert_int_equal(endpoint.port, cases[i].port);
        weir_net_format(&endpoint, text);
        assert_string_equal(text, cases[i].written);
    }
}

static void malformed_addresses_are_refused(void **state)
{
    static const char *const texts[] = {
        "",     "localhost", "a:b",   "a:65536", "a:-1",  "a:+1",  "a: 1",       "::1:80",
        "[::1", "[::1]80",   "[x]:1", "[]:1",    "a b:1", "a/b:1", "http://a:1", "a:"};
    struct weir_endpoint endpoint;
    char longest[300];

    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_COUNT(texts); i++)
        assert_int_equal(weir_net_parse(texts[i], -1, &endpoint, NULL), WEIR_INVALID);
    memset(longest, 'a', sizeof longest);
    longest[299] = '\0';
    assert_int_equal(weir_net_parse(longest, 1, &endpoint, NULL), WEIR_INVALID);
}

static void loopback_is_known(void **state)
{
    static const char *const yes[] = {"127.0.0.1",       "127.9.9.9", "::1",
                                      "localhost",       "LocalHost", "x.localhost",
                                      "::ffff:127.0.0.1"};
    static const char *const no[] = {
        "0.0.0.0",        "::", "128.0.0.1", "xlocalhost", "localhost.example.org", "10.0.0.1",
        "::ffff:10.0.0.1"};
    struct weir_endpoint endpoint = {.port = 1};

    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_COUNT(yes); i++) {
        snprintf(endpoint.host, sizeof endpoint.host, "%s", yes[i]);
        assert_true(weir_net_is_loopback(&endpoint));
    }
    for (size_t i = 0; i < WEIR_ARRAY_COUNT(no); i++) {
        snprintf(endpoint.host, sizeof endpoint.host, "%s", no[i]);
        assert_false(weir_net_is_loopback(&endpoint));
    }
}

static void wait_for(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};
    assert_int_equal(poll(&p, 1, 5000), 1);
}

static void two_ends_talk_and_notice_the_end(void **state)
{
    struct weir_endpoint endpoint = {.host = "127.0.0.1", .port = 0}, peer;
    struct weir_address address, from;
    struct weir_error error;
    struct iovec parts[] = {{(char[]){"pi"}, 2}, {(char[]){"ng"}, 2}};
    int listener, client, server;
    size_t count;
    char text[16] = "";
    enum weir_err err;

    (void)state;
    assert_int_equal(weir_net_listen(&endpoint, 8, &listener, &endpoint.port, NULL), WEIR_OK);
    assert_true(endpoint.port != 0);
    assert_int_equal(weir_net_accept(listener, &server, NULL, NULL), WEIR_AGAIN);
    assert_int_equal(weir_net_listen(&endpoint, 8, &server, NULL, &error), WEIR_IN_USE);
    assert_non_null(strstr(error.message, "is in use by another process"));
    assert_int_equal(weir_net_resolve(&endpoint, &address, 1, &count, NULL), WEIR_OK);
    assert_int_equal(count, 1);
    err = weir_net_connect(&address, &client, NULL);
    assert_true(err == WEIR_OK || err == WEIR_AGAIN);
    wait_for(client, POLLOUT);
    assert_int_equal(weir_net_connect_result(client, NULL), WEIR_OK);
    wait_for(listener, POLLIN);
    assert_int_equal(weir_net_accept(listener, &server, &from, NULL), WEIR_OK);
    weir_net_endpoint_of(&from, &peer);
    assert_string_equal(peer.host, "127.0.0.1");
    assert_int_equal(peer.port, weir_net_local_port(client));
    assert_int_equal(weir_net_read(server, text, sizeof text, &count, NULL), WEIR_AGAIN);
    assert_int_equal(weir_net_writev(client, parts, 2, &count, NULL), WEIR_OK);
    assert_int_equal(count, 4);
    wait_for(server, POLLIN);
    assert_int_equal(weir_net_read(server, text, sizeof text, &count, NULL), WEIR_OK);
    assert_int_equal(count, 4);
    assert_memory_equal(text, "ping", 4);
    weir_net_close(client);
    wait_for(server, POLLIN);
    assert_int_equal(weir_net_read(server, text, sizeof text, &count, NULL), WEIR_END);
    /* No SIGPIPE: the second write meets the reset. */
    while ((err = weir_net_write(server, "x", 1, &count, &error)) == WEIR_OK)
        wait_for(server, POLLOUT);
    assert_int_equal(err, WEIR_CLOSED);
    weir_net_close(server);
    weir_net_close(listener);
    weir_net_close(-1);
}

static void a_closed_port_refuses(void **state)
{
    struct weir_endpoint endpoint = {.host = "127.0.0.1", .port = 0};
    struct weir_address address;
    int fd;
    size_t count;
    enum weir_err err;

    (void)state;
    assert_int_equal(weir_net_listen(&endpoint, 8, &fd, &endpoint.port, NULL), WEIR_OK);
    weir_net_close(fd);
    assert_int_equal(weir_net_resolve(&endpoint, &address, 1, &count, NULL), WEIR_OK);
    err = weir_net_connect(&address, &fd, NULL);
    if (err == WEIR_AGAIN) {
        wait_for(fd, POLLOUT);
        err = weir_net_connect_result(fd, NULL);
        weir_net_close(fd);
    }
    assert_int_equal(err, WEIR_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_read_and_written),
        cmocka_unit_test(malformed_addresses_are_refused),
        cmocka_unit_test(loopback_is_known),
        cmocka_unit_test(two_ends_talk_and_notice_the_end),
        cmocka_unit_test(a_closed_port_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
