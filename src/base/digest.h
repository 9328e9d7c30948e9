/*
 * base/digest.h - SHA-256, CRC-32C, murmur2.
 *
 * What:    the digest of models, the checksum of record batches, Kafka's partitioner hash.
 * Life:    SHA-256 of pieces: init -> update ... -> final. The others are one call.
 * Threads: any.
 * Memory:  none.
 * Errors:  none.
 */
#ifndef WEIR_BASE_DIGEST_H
#define WEIR_BASE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

enum { WEIR_SHA256_BYTES = 32, WEIR_SHA256_HEX_BYTES = 65 };

struct weir_sha256 {
    uint32_t state[8];
    uint64_t bytes;
    uint8_t block[64];
};

/* FIPS 180-4. */
void weir_sha256_init(struct weir_sha256 *sha);
void weir_sha256_update(struct weir_sha256 *sha, const void *data, size_t bytes);
void weir_sha256_final(struct weir_sha256 *sha, uint8_t digest[WEIR_SHA256_BYTES]);
/* All at once. */
void weir_sha256(const void *data, size_t bytes, uint8_t digest[WEIR_SHA256_BYTES]);

/* Lower-case hex of `bytes` bytes, 2 * bytes characters and a NUL. */
void weir_hex_encode(const void *data, size_t bytes, char *text);
/* Reads hex of either case. 0, or -1 if it is not 2 * bytes hex digits. */
int weir_hex_decode(const char *text, size_t text_bytes, uint8_t *data, size_t bytes);

/* CRC-32C (Castagnoli, RFC 3720 B.4), SSE4.2 where the CPU has it. crc: 0 at first, then the result
 * so far. */
uint32_t weir_crc32c(uint32_t crc, const void *data, size_t bytes);
/* The portable one, for comparison. */
uint32_t weir_crc32c_portable(uint32_t crc, const void *data, size_t bytes);

/* murmur2 as Kafka's clients use it (org.apache.kafka.common.utils.Utils.murmur2). The partition of
 * a key is (hash & 0x7fffffff) % partitions. */
uint32_t weir_murmur2(const void *data, size_t bytes);

#endif
