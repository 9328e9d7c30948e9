/* cli/files.c - files of the user, see files.h. */
#include "cli/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/errno_error.h"

static enum weir_err read_all(int fd, const char *path, char *data, size_t bytes,
                              struct weir_error *error)
{
    for (size_t at = 0; at < bytes;) {
        ssize_t got = read(fd, data + at, bytes - at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return weir_errno_set(error, errno, path, NULL);
        if (got == 0)
            return weir_error_set(error, WEIR_IO, -1, "%s: shorter than a moment ago", path);
        at += (size_t)got;
    }
    return WEIR_OK;
}

enum weir_err files_read(const char *path, size_t bytes_max, void **data_out, size_t *bytes_out,
                         struct weir_error *error)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return weir_errno_set(error, errno, path, NULL);
    enum weir_err err = WEIR_OK;
    char *data = NULL;
    if (fstat(fd, &status) != 0)
        err = weir_errno_set(error, errno, path, NULL);
    else if (S_ISDIR(status.st_mode))
        err = weir_error_set(error, WEIR_INVALID, -1, "%s: is a directory, not a file", path);
    else if (!S_ISREG(status.st_mode))
        err = weir_error_set(error, WEIR_INVALID, -1, "%s: is not a regular file", path);
    else if ((uint64_t)status.st_size > bytes_max)
        err = weir_error_set(error, WEIR_LIMIT, -1, "%s: %lld bytes are more than the %zu allowed",
                             path, (long long)status.st_size, bytes_max);
    else if (!(data = weir_alloc((size_t)status.st_size + 1)))
        err = weir_error_set(error, WEIR_NOMEM, -1, "%s: no memory for it", path);
    else
        err = read_all(fd, path, data, (size_t)status.st_size, error);
    close(fd);
    if (err != WEIR_OK) {
        weir_free(data);
        return err;
    }
    *data_out = data;
    *bytes_out = (size_t)status.st_size;
    return WEIR_OK;
}

/* ---- models ---------------------------------------------------------------------------------- */

static enum weir_err add(struct files_list *list, const char *directory, const char *name,
                         struct weir_error *error)
{
    if (list->count >= FILES_MODELS_MAX)
        return weir_error_set(error, WEIR_LIMIT, -1, "over %d model files", FILES_MODELS_MAX);
    size_t bytes = (directory ? strlen(directory) + 1 : 0) + strlen(name) + 1;
    char **paths = weir_realloc(list->paths, (list->count + 1) * sizeof *paths);
    if (paths)
        list->paths = paths;
    char *path = paths ? weir_alloc(bytes) : NULL;
    if (!path)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for the list of models");
    snprintf(path, bytes, "%s%s%s", directory ? directory : "", directory ? "/" : "", name);
    list->paths[list->count++] = path;
    return WEIR_OK;
}

static bool is_model(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && dot != name && (strcmp(dot, ".pmml") == 0 || strcmp(dot, ".pb") == 0);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static enum weir_err add_directory(struct files_list *list, const char *path,
                                   struct weir_error *error)
{
    size_t before = list->count;
    enum weir_err err = WEIR_OK;
    DIR *directory = opendir(path);
    if (!directory)
        return weir_errno_set(error, errno, path, NULL);
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): our own stream */
    for (struct dirent *entry; err == WEIR_OK && (entry = readdir(directory));)
        if (is_model(entry->d_name))
            err = add(list, path, entry->d_name, error);
    closedir(directory);
    if (err != WEIR_OK)
        return err;
    if (list->count == before)
        return weir_error_set(error, WEIR_NOT_FOUND, -1, "%s: no *.pmml or *.pb file in it", path);
    qsort(list->paths + before, list->count - before, sizeof *list->paths, by_name);
    return WEIR_OK;
}

enum weir_err files_add_models(struct files_list *list, const char *path, struct weir_error *error)
{
    struct stat status;
    if (stat(path, &status) != 0)
        return weir_errno_set(error, errno, path, NULL);
    if (S_ISDIR(status.st_mode))
        return add_directory(list, path, error);
    if (!is_model(path))
        return weir_error_set(error, WEIR_INVALID, -1,
                              "%s: a model's name ends in .pmml or .pb, so that its kind is known",
                              path);
    return add(list, NULL, path, error);
}

void files_list_release(struct files_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        weir_free(list->paths[i]);
    weir_free(list->paths);
    *list = (struct files_list){0};
}

/* ---- samples --------------------------------------------------------------------------------- */

enum weir_err files_sample(const char *name, char **path_out, struct weir_error *error)
{
    static const char *const places[] = {WEIR_SAMPLES_SOURCE_DIR, WEIR_SAMPLES_INSTALL_DIR};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        size_t bytes = strlen(places[i]) + strlen(name) + 2;
        char *path = weir_alloc(bytes);
        if (!path)
            return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a path");
        snprintf(path, bytes, "%s/%s", places[i], name);
        if (access(path, R_OK) == 0) {
            *path_out = path;
            return WEIR_OK;
        }
        weir_free(path);
    }
    return weir_error_set(
        error, WEIR_NOT_FOUND, -1,
        "the samples that come with Weir are neither in %s nor in %s; give --data "
        "and --models",
        places[0], places[1]);
}
