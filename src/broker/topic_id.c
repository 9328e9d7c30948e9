/* broker/topic_id.c - the ids of topics: random, and their text. */
#include <string.h>
#include <sys/random.h>

#include "base/assert.h"
#include "broker/inside.h"

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

struct wire_uuid broker_topic_id_new(void)
{
    struct wire_uuid id;
    char text[TOPIC_ID_TEXT_BYTES];
    do { /* a text that begins with a dash looks like an option of a command */
        weir_assert(getrandom(id.bytes, sizeof id.bytes, 0) == (ssize_t)sizeof id.bytes);
        id.bytes[6] = (uint8_t)((id.bytes[6] & 0x0f) | 0x40); /* RFC 9562: version 4, random */
        id.bytes[8] = (uint8_t)((id.bytes[8] & 0x3f) | 0x80);
        broker_topic_id_format(id, text);
    } while (text[0] == '-');
    return id;
}

void broker_topic_id_format(struct wire_uuid id, char text[TOPIC_ID_TEXT_BYTES])
{
    uint32_t bits = 0;
    unsigned count = 0;
    size_t at = 0;
    for (size_t i = 0; i < sizeof id.bytes; i++) {
        bits = bits << 8 | id.bytes[i];
        for (count += 8; count >= 6; count -= 6)
            text[at++] = letters[bits >> (count - 6) & 63];
    }
    text[at++] = letters[bits << (6 - count) & 63];
    text[at] = '\0';
}

bool broker_topic_id_parse(const char *text, struct wire_uuid *out)
{
    uint32_t bits = 0;
    unsigned count = 0;
    size_t at = 0;
    if (strlen(text) != TOPIC_ID_TEXT_BYTES - 1)
        return false;
    for (size_t i = 0; i < TOPIC_ID_TEXT_BYTES - 1; i++) {
        const char *letter = strchr(letters, text[i]);
        if (!letter)
            return false;
        bits = bits << 6 | (uint32_t)(letter - letters);
        count += 6;
        if (count >= 8) {
            count -= 8;
            out->bytes[at++] = (uint8_t)(bits >> count);
        }
    }
    return (bits & 15) == 0 && !broker_topic_id_is_none(*out);
}

bool broker_topic_id_is_none(struct wire_uuid id)
{
    static const struct wire_uuid none;
    return memcmp(id.bytes, none.bytes, sizeof none.bytes) == 0;
}
