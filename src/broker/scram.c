/* broker/scram.c - the exchange of SCRAM, see scram.h. */
#include "broker/scram.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

/* ---- hashes ---------------------------------------------------------------------------------- */

static const EVP_MD *digest_of(enum scram_hash hash)
{
    return hash == SCRAM_SHA_256 ? EVP_sha256() : EVP_sha512();
}

size_t scram_key_bytes(enum scram_hash hash)
{
    return hash == SCRAM_SHA_256 ? 32 : 64;
}

const char *scram_name(enum scram_hash hash)
{
    return hash == SCRAM_SHA_256 ? "SCRAM-SHA-256" : "SCRAM-SHA-512";
}

static bool hmac(enum scram_hash hash, const uint8_t *key, const void *data, size_t bytes,
                 uint8_t *out)
{
    return HMAC(digest_of(hash), key, (int)scram_key_bytes(hash), data, bytes, out, NULL) != NULL;
}

static bool digest(enum scram_hash hash, const uint8_t *key, uint8_t *out)
{
    return EVP_Digest(key, scram_key_bytes(hash), out, NULL, digest_of(hash), NULL) == 1;
}

enum weir_err scram_derive(enum scram_hash hash, struct weir_slice password,
                           struct scram_credential *credential)
{
    size_t bytes = scram_key_bytes(hash);
    uint8_t salted[SCRAM_KEY_BYTES_MAX], client_key[SCRAM_KEY_BYTES_MAX];
    bool made = password.bytes <= INT32_MAX &&
                PKCS5_PBKDF2_HMAC(password.data, (int)password.bytes, credential->salt,
                                  (int)credential->salt_bytes, (int)credential->iterations,
                                  digest_of(hash), (int)bytes, salted) == 1 &&
                hmac(hash, salted, "Client Key", 10, client_key) &&
                hmac(hash, salted, "Server Key", 10, credential->server_key) &&
                digest(hash, client_key, credential->stored_key);
    OPENSSL_cleanse(salted, sizeof salted);
    OPENSSL_cleanse(client_key, sizeof client_key);
    return made ? WEIR_OK : WEIR_NOMEM;
}

bool scram_is_password(enum scram_hash hash, struct weir_slice password,
                       const struct scram_credential *credential)
{
    struct scram_credential tried = *credential;
    return scram_derive(hash, password, &tried) == WEIR_OK &&
           CRYPTO_memcmp(tried.stored_key, credential->stored_key, scram_key_bytes(hash)) == 0;
}

/* ---- base64 ---------------------------------------------------------------------------------- */

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

enum weir_err scram_base64_put(const void *data, size_t bytes, struct weir_buffer *into)
{
    const uint8_t *at = data;
    enum weir_err err = WEIR_OK;
    for (size_t i = 0; i < bytes && err == WEIR_OK; i += 3) {
        size_t left = bytes - i;
        uint32_t group = (uint32_t)at[i] << 16 | (left > 1 ? (uint32_t)at[i + 1] << 8 : 0) |
                         (left > 2 ? at[i + 2] : 0);
        const char text[4] = {alphabet[group >> 18], alphabet[group >> 12 & 63],
                              left > 1 ? alphabet[group >> 6 & 63] : '=',
                              left > 2 ? alphabet[group & 63] : '='};
        err = weir_buffer_append(into, text, sizeof text);
    }
    return err;
}

static int base64_value(char c)
{
    const char *at = c ? strchr(alphabet, c) : NULL;
    return at ? (int)(at - alphabet) : -1;
}

enum weir_err scram_base64_read(struct weir_slice text, uint8_t *into, size_t bytes_max,
                                size_t *bytes_out)
{
    const char *at = text.data;
    size_t count = 0;
    if (text.bytes % 4 != 0)
        return WEIR_PARSE;
    for (size_t i = 0; i < text.bytes; i += 4) {
        bool last = i + 4 == text.bytes;
        size_t pad = !last || at[i + 3] != '=' ? 0 : at[i + 2] == '=' ? 2 : 1;
        uint32_t group = 0;
        for (size_t k = 0; k < 4; k++) {
            int value = k >= 4 - pad ? 0 : base64_value(at[i + k]);
            if (value < 0)
                return WEIR_PARSE;
            group = group << 6 | (uint32_t)value;
        }
        if (group & (pad == 2 ? 0xffffU : pad == 1 ? 0xffU : 0))
            return WEIR_PARSE; /* bits that stand for nothing */
        if (count + 3 - pad > bytes_max)
            return WEIR_LIMIT;
        for (size_t k = 0; k < 3 - pad; k++)
            into[count++] = (uint8_t)(group >> (16 - 8 * k));
    }
    *bytes_out = count;
    return WEIR_OK;
}

/* ---- attributes ------------------------------------------------------------------------------ */

/* Takes "<name>=value" off the front of a message, up to the next comma or the end. */
static bool take(struct weir_slice *message, char name, struct weir_slice *out)
{
    const char *at = message->data;
    if (message->bytes < 2 || at[0] != name || at[1] != '=')
        return false;
    const char *comma = memchr(at, ',', message->bytes);
    size_t bytes = comma ? (size_t)(comma - at) : message->bytes;
    *out = weir_slice(at + 2, bytes - 2);
    *message = comma ? weir_slice(comma + 1, message->bytes - bytes - 1) : weir_slice("", 0);
    return true;
}

/* A name in which "=2C" is a comma and "=3D" an equals sign. */
static bool read_name(struct weir_slice text, struct scram_exchange *exchange)
{
    const char *at = text.data, *end = at + text.bytes;
    exchange->name_bytes = 0;
    while (at < end) {
        char c = *at++;
        if (c == '=') {
            if (end - at < 2 || (memcmp(at, "2C", 2) != 0 && memcmp(at, "3D", 2) != 0))
                return false;
            c = *at == '2' ? ',' : '=';
            at += 2;
        }
        if (!c || exchange->name_bytes == SCRAM_NAME_BYTES_MAX)
            return false;
        exchange->name[exchange->name_bytes++] = c;
    }
    exchange->name[exchange->name_bytes] = '\0';
    return exchange->name_bytes > 0;
}

static bool is_nonce(struct weir_slice nonce)
{
    const char *at = nonce.data;
    for (size_t i = 0; i < nonce.bytes; i++)
        if (at[i] < 0x21 || at[i] > 0x7e || at[i] == ',')
            return false;
    return nonce.bytes > 0 && nonce.bytes <= SCRAM_NONCE_BYTES_MAX;
}

/* ---- the exchange ---------------------------------------------------------------------------- */

void scram_exchange_init(struct scram_exchange *exchange, enum scram_hash hash)
{
    *exchange = (struct scram_exchange){.hash = hash};
    weir_buffer_init(&exchange->messages, SCRAM_EXCHANGE_BYTES_MAX);
}

void scram_exchange_release(struct scram_exchange *exchange)
{
    weir_buffer_release(&exchange->messages);
    OPENSSL_cleanse(&exchange->credential, sizeof exchange->credential);
}

static enum weir_err malformed(struct weir_error *error, const char *what)
{
    return weir_error_set(error, WEIR_PARSE, -1, "malformed SCRAM message: %s", what);
}

enum weir_err scram_read_first(struct scram_exchange *exchange, struct weir_slice message,
                               struct weir_error *error)
{
    const char *at = message.data;
    struct weir_slice rest = message, name, nonce, extension;
    if (message.bytes > SCRAM_MESSAGE_BYTES_MAX)
        return malformed(error, "too long");
    if (message.bytes > 1 && at[0] == 'p' && at[1] == '=')
        return weir_error_set(error, WEIR_UNSUPPORTED, -1, "channel binding is not supported");
    if (message.bytes < 3 || (at[0] != 'n' && at[0] != 'y') || at[1] != ',')
        return malformed(error, "no GS2 header");
    rest = weir_slice(at + 2, message.bytes - 2);
    struct weir_slice acting_for = weir_slice(NULL, 0);
    if (at[2] == ',')
        rest = weir_slice(at + 3, message.bytes - 3);
    else if (!take(&rest, 'a', &acting_for))
        return malformed(error, "no GS2 header");
    struct weir_slice bare = rest;
    exchange->header_bytes = message.bytes - bare.bytes;
    memcpy(exchange->header, message.data, exchange->header_bytes);
    if (acting_for.data) { /* only for oneself */
        if (!read_name(acting_for, exchange))
            return malformed(error, "authorization name");
        char self[SCRAM_NAME_BYTES_MAX + 1];
        memcpy(self, exchange->name, sizeof self);
        if (!take(&rest, 'n', &name) || !read_name(name, exchange))
            return malformed(error, "name");
        if (strcmp(self, exchange->name) != 0)
            return weir_error_set(error, WEIR_DENIED, -1,
                                  "a user can't act for another: leave the authorization id out");
    } else if (!take(&rest, 'n', &name) || !read_name(name, exchange)) {
        return malformed(error, "name");
    }
    if (!take(&rest, 'r', &nonce) || !is_nonce(nonce))
        return malformed(error, "nonce");
    while (rest.bytes) /* extensions that are not critical are passed over */
        if (((const char *)rest.data)[0] == 'm' ||
            !take(&rest, ((const char *)rest.data)[0], &extension))
            return malformed(error, "extension");
    memcpy(exchange->nonce, nonce.data, nonce.bytes);
    exchange->nonce[nonce.bytes] = '\0';
    weir_buffer_clear(&exchange->messages);
    enum weir_err err = weir_buffer_append(&exchange->messages, bare.data, bare.bytes);
    return err == WEIR_OK ? err : weir_error_set(error, err, -1, "no memory for an exchange");
}

enum weir_err scram_challenge(struct scram_exchange *exchange,
                              const struct scram_credential *credential, const char *nonce,
                              struct weir_buffer *into)
{
    size_t client_bytes = strlen(exchange->nonce), begin = into->bytes;
    weir_assert(strlen(nonce) <= SCRAM_NONCE_BYTES_MAX);
    exchange->credential = *credential;
    memcpy(exchange->nonce + client_bytes, nonce, strlen(nonce) + 1);
    enum weir_err err = weir_buffer_appendf(into, "r=%s,s=", exchange->nonce);
    if (err == WEIR_OK)
        err = scram_base64_put(credential->salt, credential->salt_bytes, into);
    if (err == WEIR_OK)
        err = weir_buffer_appendf(into, ",i=%u", credential->iterations);
    if (err == WEIR_OK)
        err = weir_buffer_append_byte(&exchange->messages, ',');
    if (err == WEIR_OK)
        err = weir_buffer_append(&exchange->messages, into->data + begin, into->bytes - begin);
    return err == WEIR_OK ? weir_buffer_append_byte(&exchange->messages, ',') : err;
}

/* Not "is": librdkafka 2.0 puts its own nonce in front once more, and Kafka lets it. The proof is
 * about what was sent, so nothing is lost. */
static bool ends_with(struct weir_slice nonce, const char *ours)
{
    size_t bytes = strlen(ours);
    return nonce.bytes >= bytes &&
           memcmp((const char *)nonce.data + nonce.bytes - bytes, ours, bytes) == 0;
}

/* Client proof xor client signature is the client key, whose digest we know. */
static bool is_proof(const struct scram_exchange *exchange, const uint8_t *proof)
{
    size_t bytes = scram_key_bytes(exchange->hash);
    uint8_t key[SCRAM_KEY_BYTES_MAX], stored[SCRAM_KEY_BYTES_MAX];
    if (!hmac(exchange->hash, exchange->credential.stored_key, exchange->messages.data,
              exchange->messages.bytes, key))
        return false;
    for (size_t i = 0; i < bytes; i++)
        key[i] ^= proof[i];
    bool same = digest(exchange->hash, key, stored) &&
                CRYPTO_memcmp(stored, exchange->credential.stored_key, bytes) == 0;
    OPENSSL_cleanse(key, sizeof key);
    return same;
}

enum weir_err scram_finish(struct scram_exchange *exchange, struct weir_slice message,
                           struct weir_buffer *into, struct weir_error *error)
{
    struct weir_slice rest = message, binding, nonce, text = weir_slice(NULL, 0);
    size_t key_bytes = scram_key_bytes(exchange->hash), proof_bytes = 0;
    uint8_t proof[SCRAM_KEY_BYTES_MAX], signature[SCRAM_KEY_BYTES_MAX];
    uint8_t header[SCRAM_MESSAGE_BYTES_MAX];
    size_t header_bytes, signed_bytes = 0;
    if (message.bytes > SCRAM_MESSAGE_BYTES_MAX)
        return malformed(error, "too long");
    if (!take(&rest, 'c', &binding) ||
        scram_base64_read(binding, header, sizeof header, &header_bytes) != WEIR_OK ||
        header_bytes != exchange->header_bytes ||
        memcmp(header, exchange->header, header_bytes) != 0)
        return malformed(error, "channel binding");
    if (!take(&rest, 'r', &nonce))
        return malformed(error, "nonce");
    while (rest.bytes && !text.data) { /* extensions, then the proof, which is the last */
        signed_bytes = (size_t)((const char *)rest.data - (const char *)message.data) - 1;
        struct weir_slice extension;
        char name = ((const char *)rest.data)[0];
        if (!take(&rest, name, name == 'p' ? &text : &extension))
            break;
    }
    if (!text.data || rest.bytes ||
        scram_base64_read(text, proof, sizeof proof, &proof_bytes) != WEIR_OK ||
        proof_bytes != key_bytes)
        return malformed(error, "proof");
    if (!ends_with(nonce, exchange->nonce))
        return malformed(error, "another nonce");
    enum weir_err err = weir_buffer_append(&exchange->messages, message.data, signed_bytes);
    if (err != WEIR_OK)
        return weir_error_set(error, err, -1, "no memory for an exchange");
    if (!is_proof(exchange, proof))
        return weir_error_set(error, WEIR_DENIED, -1, "wrong user name or password");
    err = hmac(exchange->hash, exchange->credential.server_key, exchange->messages.data,
               exchange->messages.bytes, signature)
              ? weir_buffer_append_text(into, "v=")
              : WEIR_NOMEM;
    if (err == WEIR_OK)
        err = scram_base64_put(signature, key_bytes, into);
    return err == WEIR_OK ? err : weir_error_set(error, err, -1, "no memory for an exchange");
}
