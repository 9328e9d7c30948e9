/* The nearest name to a mistyped word: base/settings.h. */
#include "base/settings.h"

#include <string.h>

enum { WORD_MAX = 64 };

/* Edits that make one word the other: insert, delete, replace, swap of neighbours (the optimal
 * string alignment distance). Words are at most WORD_MAX long. */
static size_t distance(const char *a, const char *b)
{
    size_t rows[3][WORD_MAX + 1];
    size_t *before = rows[0], *last = rows[1], *row = rows[2];
    size_t a_bytes = strlen(a), b_bytes = strlen(b);

    memset(before, 0, sizeof rows[0]);
    for (size_t j = 0; j <= b_bytes; j++)
        last[j] = j;
    for (size_t i = 1; i <= a_bytes; i++) {
        size_t *oldest = before;
        row[0] = i;
        for (size_t j = 1; j <= b_bytes; j++) {
            size_t best = last[j - 1] + (a[i - 1] != b[j - 1]);
            if (last[j] + 1 < best)
                best = last[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            row[j] = best;
        }
        before = last;
        last = row;
        row = oldest;
    }
    return last[b_bytes];
}

const char *weir_nearest_name(const char *word, const char *const *names)
{
    const char *nearest = NULL;
    size_t word_bytes = strlen(word), best;

    if (word_bytes == 0 || word_bytes > WORD_MAX)
        return NULL;
    /* A third of the word may be wrong, one letter at least. */
    best = (word_bytes > 3 ? word_bytes / 3 : 1) + 1;
    for (; *names != NULL; names++) {
        size_t edits;
        if (strlen(*names) > WORD_MAX)
            continue;
        edits = distance(word, *names);
        if (edits < best) {
            best = edits;
            nearest = *names;
        }
    }
    return nearest;
}
