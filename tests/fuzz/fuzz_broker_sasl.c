/*
 * The messages of SCRAM, base64 and the file of users. The first byte says what the rest is: a
 * client's first message, its first and final one with a NUL between, base64, or a file of users.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/users.h"

/* Both messages against a credential that nobody has the password of. */
static void run_exchange(enum scram_hash hash, struct weir_slice first, struct weir_slice final)
{
    struct scram_credential credential = {.iterations = SCRAM_ITERATIONS_MIN,
                                          .salt_bytes = SCRAM_SALT_BYTES};
    struct scram_exchange scram;
    struct weir_buffer out;
    weir_buffer_init(&out, 4096);
    scram_exchange_init(&scram, hash);
    if (scram_read_first(&scram, first, NULL) == WEIR_OK) {
        if (strlen(scram.name) != scram.name_bytes || !scram.name_bytes ||
            scram_challenge(&scram, &credential, "servernonce", &out) != WEIR_OK)
            abort();
        if (scram_finish(&scram, final, &out, NULL) == WEIR_OK)
            abort(); /* a proof out of nothing */
    }
    scram_exchange_release(&scram);
    weir_buffer_release(&out);
}

static void run_base64(struct weir_slice text)
{
    uint8_t bytes[256];
    size_t count;
    struct weir_buffer again;
    if (scram_base64_read(text, bytes, sizeof bytes, &count) != WEIR_OK)
        return;
    weir_buffer_init(&again, 4096);
    if (scram_base64_put(bytes, count, &again) != WEIR_OK ||
        !weir_slice_equal(weir_buffer_slice(&again), text))
        abort(); /* there is one text for these bytes */
    weir_buffer_release(&again);
}

static void run_file(struct weir_slice content)
{
    static char path[] = "/tmp/weir-fuzz-users-XXXXXX";
    static int fd = -1;
    struct users *users;
    if (fd < 0 && (fd = mkstemp(path)) < 0)
        abort();
    if (ftruncate(fd, 0) != 0 ||
        pwrite(fd, content.data, content.bytes, 0) != (ssize_t)content.bytes)
        abort();
    if (users_load(path, &users, NULL) == WEIR_OK)
        users_free(users);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct weir_slice rest = weir_slice(data + 1, size - 1);
    const uint8_t *nul = memchr(data + 1, 0, size - 1);
    struct weir_slice first = nul ? weir_slice(data + 1, (size_t)(nul - data - 1)) : rest;
    struct weir_slice final =
        nul ? weir_slice(nul + 1, (size_t)(data + size - nul - 1)) : weir_slice("", 0);
    switch (data[0]) {
    case '2':
        run_exchange(SCRAM_SHA_256, first, final);
        break;
    case '5':
        run_exchange(SCRAM_SHA_512, first, final);
        break;
    case 'b':
        run_base64(rest);
        break;
    default:
        run_file(rest);
    }
    return 0;
}
