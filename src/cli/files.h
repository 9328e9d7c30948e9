/*
 * cli/files.h - files of the user: read whole, or found by pattern.
 *
 * Life:    functions only.
 * Threads: any.
 * Memory:  what is given out is freed with weir_free.
 * Errors:  NOT_FOUND, DENIED, IO, LIMIT (too large), INVALID (a directory); messages name the path.
 */
#ifndef CLI_FILES_H
#define CLI_FILES_H

#include <weir/base.h>

enum { FILES_MODEL_BYTES_MAX = 256 << 20, FILES_MODELS_MAX = 10000 };

/* Reads a whole file of at most bytes_max bytes. */
enum weir_err files_read(const char *path, size_t bytes_max, void **data_out, size_t *bytes_out,
                         struct weir_error *error);

/* Paths in order of name. */
struct files_list {
    char **paths;
    size_t count;
};

/* Adds a file, or the *.pmml and *.pb files of a directory, sorted. Errors: as above; NOT_FOUND
 * also for a directory without models. */
enum weir_err files_add_models(struct files_list *list, const char *path, struct weir_error *error);
void files_list_release(struct files_list *list);

/* The samples that come with Weir: `name` below them ("wine/data.csv"), from the source tree the
 * program was built in or from where it was installed. NOT_FOUND says where was looked. */
enum weir_err files_sample(const char *name, char **path_out, struct weir_error *error);

#endif
