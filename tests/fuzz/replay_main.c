/*
 * Runs a libFuzzer target on files: every argument is an input or a directory of inputs. A build
 * without libFuzzer replays the corpus this way, so that a finding stays found.
 *
 * Also runs, without a corpus, the empty input. Exit 1 when an input cannot be read.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Larger than any input libFuzzer is given here (-max_len). */
enum { input_bytes_max = 16 << 20 };

static int run_file(const char *path, size_t *count)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        return 1;
    }
    int failed = 1;
    uint8_t *data = malloc(input_bytes_max);
    if (data) {
        size_t size = fread(data, 1, input_bytes_max, file);
        /* A copy of the exact size lets the sanitizer see a read past the end. */
        uint8_t *exact = ferror(file) ? NULL : malloc(size ? size : 1);
        if (exact) {
            memcpy(exact, data, size);
            LLVMFuzzerTestOneInput(exact, size);
            *count += 1;
            failed = 0;
        }
        free(exact);
    }
    free(data);
    fclose(file);
    if (failed)
        fprintf(stderr, "%s: cannot read\n", path);
    return failed;
}

static int run_directory(const char *path, size_t *count)
{
    struct dirent **entries = NULL;
    int entry_count = scandir(path, &entries, NULL, alphasort);
    if (entry_count < 0) {
        perror(path);
        return 1;
    }
    int failed = 0;
    for (int i = 0; i < entry_count; i++) {
        if (entries[i]->d_name[0] != '.') {
            char file[4096];
            snprintf(file, sizeof file, "%s/%s", path, entries[i]->d_name);
            failed |= run_file(file, count);
        }
        free(entries[i]);
    }
    free(entries);
    return failed;
}

int main(int argc, char **argv)
{
    size_t count = 1;
    int failed = 0;
    LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    for (int i = 1; i < argc; i++) {
        struct stat status;
        if (stat(argv[i], &status) == 0 && S_ISDIR(status.st_mode))
            failed |= run_directory(argv[i], &count);
        else
            failed |= run_file(argv[i], &count);
    }
    printf("%zu inputs\n", count);
    return failed;
}
