/* SHA-256, CRC-32C, murmur2 against published vectors. */
#include "cmocka_all.h"

#include <string.h>

#include "base/digest.h"
#include "base/random.h"

static void check_sha256(const void *data, size_t bytes, const char *expected)
{
    uint8_t digest[WEIR_SHA256_BYTES];
    char hex[WEIR_SHA256_HEX_BYTES];

    weir_sha256(data, bytes, digest);
    weir_hex_encode(digest, sizeof digest, hex);
    assert_string_equal(hex, expected);
}

/* FIPS 180-4's examples. */
static void sha256_gives_the_published_digests(void **state)
{
    static char million[1000000];

    (void)state;
    check_sha256("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check_sha256("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check_sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
                 "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    memset(million, 'a', sizeof million);
    check_sha256(million, sizeof million,
                 "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void pieces_give_the_digest_of_the_whole(void **state)
{
    uint8_t data[300], whole[WEIR_SHA256_BYTES], pieces[WEIR_SHA256_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 7);
    weir_sha256(data, sizeof data, whole);
    for (size_t step = 1; step < 130; step++) {
        struct weir_sha256 sha;
        weir_sha256_init(&sha);
        for (size_t at = 0; at < sizeof data; at += step)
            weir_sha256_update(&sha, data + at, sizeof data - at < step ? sizeof data - at : step);
        weir_sha256_final(&sha, pieces);
        assert_memory_equal(pieces, whole, sizeof whole);
    }
}

/* Long pieces may take another path than short ones. */
static void long_pieces_give_the_digest_of_short_ones(void **state)
{
    static uint8_t data[20000];
    uint8_t at_once[WEIR_SHA256_BYTES], short_pieces[WEIR_SHA256_BYTES];
    struct weir_random random = {5};

    (void)state;
    print_message("seed %llu\n", (unsigned long long)random.state);
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)weir_random_next(&random);
    for (size_t bytes = 4000; bytes <= sizeof data; bytes += 1777) {
        struct weir_sha256 sha;
        weir_sha256(data, bytes, at_once);
        weir_sha256_init(&sha);
        for (size_t at = 0; at < bytes; at += 50)
            weir_sha256_update(&sha, data + at, bytes - at < 50 ? bytes - at : 50);
        weir_sha256_final(&sha, short_pieces);
        assert_memory_equal(at_once, short_pieces, sizeof at_once);
    }
}

/* RFC 3720, B.4. */
static void crc32c_gives_the_published_sums(void **state)
{
    uint8_t zeros[32] = {0}, ones[32], rising[32];

    (void)state;
    memset(ones, 0xff, sizeof ones);
    for (uint8_t i = 0; i < 32; i++)
        rising[i] = i;
    assert_int_equal(weir_crc32c(0, zeros, 32), 0x8a9136aa);
    assert_int_equal(weir_crc32c(0, ones, 32), 0x62a8ab43);
    assert_int_equal(weir_crc32c(0, rising, 32), 0x46dd794e);
    assert_int_equal(weir_crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(weir_crc32c(weir_crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
}

static void the_fast_crc_is_the_portable_one(void **state)
{
    uint8_t data[1024];
    struct weir_random random = {99};

    (void)state;
    print_message("seed %llu\n", (unsigned long long)random.state);
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)weir_random_next(&random);
    for (size_t bytes = 0; bytes < 200; bytes++)
        for (size_t offset = 0; offset < 9; offset++)
            assert_int_equal(weir_crc32c(7, data + offset, bytes),
                             weir_crc32c_portable(7, data + offset, bytes));
}

/* The vectors of org.apache.kafka.common.utils.UtilsTest. */
static void murmur2_gives_kafkas_hashes(void **state)
{
    (void)state;
    assert_int_equal((int32_t)weir_murmur2("21", 2), -973932308);
    assert_int_equal((int32_t)weir_murmur2("foobar", 6), -790332482);
    assert_int_equal((int32_t)weir_murmur2("a-little-bit-long-string", 24), -985981536);
    assert_int_equal((int32_t)weir_murmur2("a-little-bit-longer-string", 26), -1486304829);
    assert_int_equal((int32_t)weir_murmur2("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", 48),
                     -58897971);
    assert_int_equal((int32_t)weir_murmur2("abc", 3), 479470107);
}

static void hex_is_read_and_written(void **state)
{
    uint8_t data[2];
    char text[5];

    (void)state;
    assert_int_equal(weir_hex_decode("0aFf", 4, data, 2), 0);
    assert_memory_equal(data, "\x0a\xff", 2);
    weir_hex_encode(data, 2, text);
    assert_string_equal(text, "0aff");
    assert_int_equal(weir_hex_decode("0aF", 3, data, 2), -1);
    assert_int_equal(weir_hex_decode("0aFg", 4, data, 2), -1);
    assert_int_equal(weir_hex_decode("0aFf0", 5, data, 2), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_gives_the_published_digests),
        cmocka_unit_test(pieces_give_the_digest_of_the_whole),
        cmocka_unit_test(long_pieces_give_the_digest_of_short_ones),
        cmocka_unit_test(crc32c_gives_the_published_sums),
        cmocka_unit_test(the_fast_crc_is_the_portable_one),
        cmocka_unit_test(murmur2_gives_kafkas_hashes),
        cmocka_unit_test(hex_is_read_and_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
