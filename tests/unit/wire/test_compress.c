/* Codecs: round trips, ceilings, damaged input, the forms that other writers use. */
#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/compress.h"

static uint64_t dice(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Bytes that can be compressed somewhat. */
static uint8_t *make_bytes(size_t count, uint64_t seed)
{
    uint8_t *bytes = malloc(count ? count : 1);
    assert_non_null(bytes);
    for (size_t i = 0; i < count; i++)
        bytes[i] = (uint8_t)(i % 7 ? i / 50 : dice(&seed));
    return bytes;
}

static void what_is_deflated_inflates(void **state)
{
    (void)state;
    static const size_t counts[] = {1, 2, 100, 32767, 32768, 32769, 65536, 300000};
    for (int codec = 0; codec < WIRE_CODEC_COUNT; codec++) {
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
            uint8_t *bytes = make_bytes(counts[i], 1 + i);
            struct weir_buffer small, back;
            weir_buffer_init(&small, 1 << 20);
            weir_buffer_init(&back, counts[i]); /* exactly what is needed */
            assert_int_equal(wire_deflate(codec, weir_slice(bytes, counts[i]), &small, NULL),
                             WEIR_OK);
            assert_int_equal(wire_inflate(codec, weir_buffer_slice(&small), &back, NULL), WEIR_OK);
            assert_int_equal(back.bytes, counts[i]);
            assert_memory_equal(back.data, bytes, counts[i]);
            weir_buffer_release(&small);
            weir_buffer_release(&back);
            free(bytes);
        }
    }
}

static void a_bomb_ends_at_the_ceiling(void **state)
{
    (void)state;
    size_t count = 16 << 20;
    uint8_t *zeros = calloc(count, 1);
    assert_non_null(zeros);
    for (int codec = WIRE_CODEC_GZIP; codec < WIRE_CODEC_COUNT; codec++) {
        struct weir_buffer small, back;
        weir_buffer_init(&small, 32 << 20);
        assert_int_equal(wire_deflate(codec, weir_slice(zeros, count), &small, NULL), WEIR_OK);
        for (size_t ceiling = 1; ceiling < count; ceiling = ceiling * 7 + 1) {
            weir_buffer_init(&back, ceiling);
            assert_int_equal(wire_inflate(codec, weir_buffer_slice(&small), &back, NULL),
                             WEIR_LIMIT);
            assert_int_equal(back.bytes, 0);
            weir_buffer_release(&back);
        }
        weir_buffer_init(&back, count - 1);
        assert_int_equal(wire_inflate(codec, weir_buffer_slice(&small), &back, NULL), WEIR_LIMIT);
        weir_buffer_release(&back);
        weir_buffer_release(&small);
    }
    free(zeros);
}

static void cut_and_damaged_input_is_refused_or_inflates_within_bounds(void **state)
{
    (void)state;
    uint64_t seed = 4711;
    print_message("seed %llu\n", (unsigned long long)seed);
    uint8_t *bytes = make_bytes(5000, 3);
    for (int codec = WIRE_CODEC_GZIP; codec < WIRE_CODEC_COUNT; codec++) {
        struct weir_buffer small, back;
        weir_buffer_init(&small, 1 << 20);
        weir_buffer_init(&back, 1 << 16);
        assert_int_equal(wire_deflate(codec, weir_slice(bytes, 5000), &small, NULL), WEIR_OK);
        for (size_t cut = 0; cut < small.bytes; cut += 1 + cut / 16) {
            uint8_t *exact = malloc(cut ? cut : 1);
            assert_non_null(exact);
            memcpy(exact, small.data, cut);
            /* snappy's blocks have no end mark: a cut between them is a shorter text */
            enum weir_err err = wire_inflate(codec, weir_slice(exact, cut), &back, NULL);
            assert_true(err == WEIR_CORRUPT || (codec == WIRE_CODEC_SNAPPY && cut == 16));
            weir_buffer_clear(&back);
            free(exact);
        }
        for (int round = 0; round < 2000; round++) {
            uint8_t *exact = malloc(small.bytes);
            struct weir_error error;
            assert_non_null(exact);
            memcpy(exact, small.data, small.bytes);
            for (uint64_t n = 1 + dice(&seed) % 3; n > 0; n--)
                exact[dice(&seed) % small.bytes] = (uint8_t)dice(&seed);
            enum weir_err err = wire_inflate(codec, weir_slice(exact, small.bytes), &back, &error);
            assert_true(err == WEIR_OK || err == WEIR_CORRUPT || err == WEIR_LIMIT ||
                        err == WEIR_NOMEM);
            weir_buffer_clear(&back);
            free(exact);
        }
        weir_buffer_release(&small);
        weir_buffer_release(&back);
    }
    free(bytes);
}

static void bytes_behind_the_end_are_refused(void **state)
{
    (void)state;
    static const int codecs[] = {WIRE_CODEC_GZIP, WIRE_CODEC_LZ4};
    for (size_t i = 0; i < 2; i++) {
        struct weir_buffer small, back;
        weir_buffer_init(&small, 1 << 20);
        weir_buffer_init(&back, 1 << 16);
        assert_int_equal(wire_deflate(codecs[i], weir_slice("hello", 5), &small, NULL), WEIR_OK);
        assert_int_equal(weir_buffer_append_byte(&small, 0), WEIR_OK);
        assert_int_equal(wire_inflate(codecs[i], weir_buffer_slice(&small), &back, NULL),
                         WEIR_CORRUPT);
        weir_buffer_release(&small);
        weir_buffer_release(&back);
    }
}

static void assert_inflates(int codec, const void *bytes, size_t count, const char *text)
{
    struct weir_buffer back;
    weir_buffer_init(&back, 1 << 16);
    assert_int_equal(wire_inflate(codec, weir_slice(bytes, count), &back, NULL), WEIR_OK);
    assert_string_equal(weir_buffer_text(&back), text);
    weir_buffer_release(&back);
}

static void snappy_comes_raw_and_in_blocks(void **state)
{
    (void)state;
    /* length 5, a literal of 5 bytes */
    static const uint8_t raw[] = {0x05, 0x10, 'h', 'e', 'l', 'l', 'o'};
    static const uint8_t blocks[] = {
        0x82, 'S', 'N', 'A', 'P',  'P',  'Y', 0,   0,   0,   0,   1, 0, 0, 0, 1, /* head */
        0,    0,   0,   7,   0x05, 0x10, 'h', 'e', 'l', 'l', 'o',                /* one block */
        0,    0,   0,   3,   0x01, 0x00, '!',                                    /* another */
    };
    assert_inflates(WIRE_CODEC_SNAPPY, raw, sizeof raw, "hello");
    assert_inflates(WIRE_CODEC_SNAPPY, blocks, sizeof blocks, "hello!");
}

static void gzip_is_that_of_rfc_1952(void **state)
{
    (void)state;
    /* head, a stored block, CRC-32 and length */
    static const uint8_t text[] = {0x1f, 0x8b, 8,    0,    0,    0,   0,   0,   0,   0xff,
                                   0x01, 0x05, 0x00, 0xfa, 0xff, 'h', 'e', 'l', 'l', 'o',
                                   0x86, 0xa6, 0x10, 0x36, 0x05, 0,   0,   0};
    assert_inflates(WIRE_CODEC_GZIP, text, sizeof text, "hello");
}

static void unknown_codecs_and_empty_input_are_errors(void **state)
{
    (void)state;
    struct weir_buffer back;
    struct weir_error error;
    weir_buffer_init(&back, 1 << 16);
    assert_int_equal(wire_inflate(7, weir_slice("x", 1), &back, &error), WEIR_UNSUPPORTED);
    assert_int_equal(wire_deflate(-1, weir_slice("x", 1), &back, &error), WEIR_UNSUPPORTED);
    for (int codec = WIRE_CODEC_GZIP; codec < WIRE_CODEC_COUNT; codec++)
        assert_int_equal(wire_inflate(codec, weir_slice("", 0), &back, &error), WEIR_CORRUPT);
    assert_non_null(strstr(error.message, "zstd"));
    weir_buffer_release(&back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_deflated_inflates),
        cmocka_unit_test(a_bomb_ends_at_the_ceiling),
        cmocka_unit_test(cut_and_damaged_input_is_refused_or_inflates_within_bounds),
        cmocka_unit_test(bytes_behind_the_end_are_refused),
        cmocka_unit_test(snappy_comes_raw_and_in_blocks),
        cmocka_unit_test(gzip_is_that_of_rfc_1952),
        cmocka_unit_test(unknown_codecs_and_empty_input_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
