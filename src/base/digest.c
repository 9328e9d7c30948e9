/* SHA-256, CRC-32C, murmur2: base/digest.h. */
#include "base/digest.h"

#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

/* ---- SHA-256: FIPS 180-4, sections 4.1.2, 5.3.3 and 6.2; names as there. */

static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static inline uint32_t rotr(uint32_t x, int n)
{
    return (x >> n) | (x << (32 - n));
}

static inline uint32_t load_be32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static inline void store_be32(uint8_t *at, uint32_t x)
{
    at[0] = (uint8_t)(x >> 24);
    at[1] = (uint8_t)(x >> 16);
    at[2] = (uint8_t)(x >> 8);
    at[3] = (uint8_t)x;
}

static void sha256_block(uint32_t state[8], const uint8_t *block)
{
    uint32_t w[64];
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];

    for (int t = 0; t < 16; t++)
        w[t] = load_be32(block + 4 * t);
    for (int t = 16; t < 64; t++) {
        uint32_t s0 = rotr(w[t - 15], 7) ^ rotr(w[t - 15], 18) ^ (w[t - 15] >> 3);
        uint32_t s1 = rotr(w[t - 2], 17) ^ rotr(w[t - 2], 19) ^ (w[t - 2] >> 10);
        w[t] = s1 + w[t - 7] + s0 + w[t - 16];
    }
    for (int t = 0; t < 64; t++) {
        uint32_t sum1 = rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25);
        uint32_t t1 = h + sum1 + ((e & f) ^ (~e & g)) + K[t] + w[t];
        uint32_t sum0 = rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22);
        uint32_t t2 = sum0 + ((a & b) ^ (a & c) ^ (b & c));
        h = g;
        g = f;
        f = e;
        e = d + t1;
        d = c;
        c = b;
        b = a;
        a = t1 + t2;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
    state[5] += f;
    state[6] += g;
    state[7] += h;
}

#if defined(__x86_64__)
/* The same with the CPU's instructions for it, four rounds at a time: m holds the last 16 words of
 * the message schedule. Intel, "New Instructions Supporting the Secure Hash Algorithm", 2013. */
__attribute__((target("sha,sse4.1"))) static void sha256_blocks_ni(uint32_t state[8],
                                                                   const uint8_t *at, size_t count)
{
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i dcba = _mm_loadu_si128((const __m128i *)(const void *)&state[0]);
    __m128i hgfe = _mm_loadu_si128((const __m128i *)(const void *)&state[4]);
    __m128i badc = _mm_shuffle_epi32(dcba, 0xB1), efgh = _mm_shuffle_epi32(hgfe, 0x1B);
    __m128i abef = _mm_alignr_epi8(badc, efgh, 8), cdgh = _mm_blend_epi16(efgh, badc, 0xF0);

    for (; count > 0; count--, at += 64) {
        __m128i abef_before = abef, cdgh_before = cdgh, m[4];
        for (int i = 0; i < 16; i++) {
            __m128i *w = &m[i & 3], before = m[(i + 3) & 3], rounds;
            if (i < 4)
                *w = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)(at + 16 * i)),
                                      swap);
            else
                *w = _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(*w, m[(i + 1) & 3]),
                                                        _mm_alignr_epi8(before, m[(i + 2) & 3], 4)),
                                          before);
            rounds = _mm_add_epi32(*w, _mm_loadu_si128((const __m128i *)(const void *)&K[4 * i]));
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, rounds);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(rounds, 0x0E));
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    badc = _mm_shuffle_epi32(abef, 0x1B); /* feba */
    efgh = _mm_shuffle_epi32(cdgh, 0xB1); /* dchg */
    _mm_storeu_si128((__m128i *)(void *)&state[0], _mm_blend_epi16(badc, efgh, 0xF0));
    _mm_storeu_si128((__m128i *)(void *)&state[4], _mm_alignr_epi8(efgh, badc, 8));
}

static bool has_sha_ni(void)
{
    unsigned a, b = 0, c, d;
    return __builtin_cpu_supports("sse4.1") && __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 &&
           (b & 1u << 29) != 0;
}
#endif

/* Whole blocks. Asking the CPU costs a microsecond under a hypervisor: worth it from 4 KiB on. */
static void sha256_blocks(uint32_t state[8], const uint8_t *at, size_t count)
{
#if defined(__x86_64__)
    if (count >= 64 && has_sha_ni()) {
        sha256_blocks_ni(state, at, count);
        return;
    }
#endif
    for (; count > 0; count--, at += 64)
        sha256_block(state, at);
}

void weir_sha256_init(struct weir_sha256 *sha)
{
    static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    memcpy(sha->state, start, sizeof start);
    sha->bytes = 0;
}

void weir_sha256_update(struct weir_sha256 *sha, const void *data, size_t bytes)
{
    const uint8_t *at = data;
    size_t used = sha->bytes % 64;

    sha->bytes += bytes;
    if (used > 0) {
        size_t take = 64 - used < bytes ? 64 - used : bytes;
        memcpy(sha->block + used, at, take);
        if (used + take < 64)
            return;
        sha256_blocks(sha->state, sha->block, 1);
        at += take;
        bytes -= take;
    }
    sha256_blocks(sha->state, at, bytes / 64);
    if (bytes % 64 > 0)
        memcpy(sha->block, at + bytes / 64 * 64, bytes % 64);
}

void weir_sha256_final(struct weir_sha256 *sha, uint8_t digest[WEIR_SHA256_BYTES])
{
    static const uint8_t padding[64] = {0x80};
    uint64_t bits = sha->bytes * 8;
    size_t used = sha->bytes % 64;
    uint8_t length[8];

    store_be32(length, (uint32_t)(bits >> 32));
    store_be32(length + 4, (uint32_t)bits);
    weir_sha256_update(sha, padding, (used < 56 ? 56 : 120) - used);
    weir_sha256_update(sha, length, sizeof length);
    for (int i = 0; i < 8; i++)
        store_be32(digest + 4 * i, sha->state[i]);
}

void weir_sha256(const void *data, size_t bytes, uint8_t digest[WEIR_SHA256_BYTES])
{
    struct weir_sha256 sha;

    weir_sha256_init(&sha);
    weir_sha256_update(&sha, data, bytes);
    weir_sha256_final(&sha, digest);
}

void weir_hex_encode(const void *data, size_t bytes, char *text)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *at = data;

    for (size_t i = 0; i < bytes; i++) {
        *text++ = digits[at[i] >> 4];
        *text++ = digits[at[i] & 15];
    }
    *text = '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int weir_hex_decode(const char *text, size_t text_bytes, uint8_t *data, size_t bytes)
{
    if (text_bytes / 2 != bytes || text_bytes % 2 != 0)
        return -1;
    for (size_t i = 0; i < bytes; i++) {
        int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return -1;
        data[i] = (uint8_t)(high << 4 | low);
    }
    return 0;
}

/* ---- CRC-32C: polynomial 0x1EDC6F41, reflected 0x82F63B78. */

/* The CRC of one half-byte: entry i is i shifted through four steps of the polynomial. 64 bytes of
 * table, for machines without the instruction. */
static const uint32_t crc32c_nibble[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

uint32_t weir_crc32c_portable(uint32_t crc, const void *data, size_t bytes)
{
    const uint8_t *at = data;

    crc = ~crc;
    for (size_t i = 0; i < bytes; i++) {
        crc ^= at[i];
        crc = crc >> 4 ^ crc32c_nibble[crc & 15];
        crc = crc >> 4 ^ crc32c_nibble[crc & 15];
    }
    return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const uint8_t *at,
                                                               size_t bytes)
{
    uint64_t sum = ~crc;

    for (; bytes >= 8; bytes -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        sum = _mm_crc32_u64(sum, word);
    }
    for (; bytes > 0; bytes--, at++)
        sum = _mm_crc32_u8((uint32_t)sum, *at);
    return ~(uint32_t)sum;
}
#endif

uint32_t weir_crc32c(uint32_t crc, const void *data, size_t bytes)
{
#if defined(__x86_64__)
    /* Reads a word that the C library's start-up code filled: cheap enough to ask each time. */
    if (__builtin_cpu_supports("sse4.2"))
        return crc32c_sse42(crc, data, bytes);
#endif
    return weir_crc32c_portable(crc, data, bytes);
}

/* ---- murmur2: A. Appleby's MurmurHash2 with Kafka's seed. */

uint32_t weir_murmur2(const void *data, size_t bytes)
{
    const uint32_t m = 0x5bd1e995, seed = 0x9747b28c;
    const uint8_t *at = data;
    uint32_t h = seed ^ (uint32_t)bytes;

    for (; bytes >= 4; bytes -= 4, at += 4) {
        uint32_t k = (uint32_t)at[3] << 24 | (uint32_t)at[2] << 16 | (uint32_t)at[1] << 8 | at[0];
        k *= m;
        k ^= k >> 24;
        h = h * m ^ k * m;
    }
    switch (bytes) {
    case 3:
        h ^= (uint32_t)at[2] << 16;
        __attribute__((fallthrough));
    case 2:
        h ^= (uint32_t)at[1] << 8;
        __attribute__((fallthrough));
    case 1:
        h = (h ^ at[0]) * m;
        break;
    default:
        break;
    }
    h = (h ^ h >> 13) * m;
    return h ^ h >> 15;
}
