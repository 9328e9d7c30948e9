/* cli/users.c - weir users: who may come in to a broker with SASL. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/disk.h"
#include "broker/users.h"
#include "cli/commands.h"
#include "cli/embedded.h"

/* ---- the password ---------------------------------------------------------------------------- */

/* One line of standard input, without its end; at a terminal nothing is shown. */
static enum weir_err read_line(const char *prompt, char line[USERS_PASSWORD_BYTES_MAX + 2],
                               struct weir_error *error)
{
    struct termios before, quiet;
    bool terminal = tcgetattr(STDIN_FILENO, &before) == 0;
    if (terminal) {
        quiet = before;
        quiet.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
        fputs(prompt, stderr);
    }
    /* Unbuffered: the password stays nowhere but here. */
    setvbuf(stdin, NULL, _IONBF, 0);
    char *got = fgets(line, USERS_PASSWORD_BYTES_MAX + 2, stdin);
    if (terminal) {
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
        fputc('\n', stderr);
    }
    if (!got)
        return weir_error_set(error, WEIR_INVALID, -1,
                              "standard input is empty: it gives the password, in one line");
    size_t bytes = strcspn(line, "\n");
    if (!line[bytes] && bytes > USERS_PASSWORD_BYTES_MAX)
        return weir_error_set(error, WEIR_LIMIT, -1, "a password has at most %d bytes",
                              USERS_PASSWORD_BYTES_MAX);
    line[bytes] = '\0';
    return WEIR_OK;
}

static enum weir_err read_password(char line[USERS_PASSWORD_BYTES_MAX + 2],
                                   struct weir_error *error)
{
    char again[USERS_PASSWORD_BYTES_MAX + 2];
    enum weir_err err = read_line("password: ", line, error);
    if (err == WEIR_OK && isatty(STDIN_FILENO)) {
        err = read_line("and again: ", again, error);
        if (err == WEIR_OK && strcmp(line, again) != 0)
            err = weir_error_set(error, WEIR_INVALID, -1, "the two passwords differ");
        explicit_bzero(again, sizeof again);
    }
    return err;
}

/* ---- the verbs ------------------------------------------------------------------------------- */

static enum weir_err load(const char *path, bool may_miss, struct users **out,
                          struct weir_error *error)
{
    enum weir_err err = users_load(path, out, error);
    return err == WEIR_NOT_FOUND && may_miss ? users_new(out, error) : err;
}

static enum weir_err make_folder_of(const char *path, struct weir_error *error)
{
    const char *slash = strrchr(path, '/');
    if (!slash || slash == path)
        return WEIR_OK;
    char *folder = weir_strndup(path, (size_t)(slash - path));
    if (!folder)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a path");
    enum weir_err err = weir_disk_make_directories(NULL, folder, 0755, error);
    weir_free(folder);
    return err;
}

static enum weir_err add(const char *path, const char *name, struct weir_error *error)
{
    char password[USERS_PASSWORD_BYTES_MAX + 2];
    struct weir_slice key = weir_slice(name, strlen(name));
    struct users *users;
    enum weir_err err = load(path, true, &users, error);
    if (err != WEIR_OK)
        return err;
    bool known = users_find(users, key) != NULL;
    err = read_password(password, error);
    if (err == WEIR_OK)
        err = users_put(users, key, weir_slice(password, strlen(password)), error);
    explicit_bzero(password, sizeof password);
    if (err == WEIR_OK)
        err = make_folder_of(path, error);
    if (err == WEIR_OK)
        err = users_save(users, path, error);
    if (err == WEIR_OK)
        printf("%s %s in %s\n", name, known ? "has a new password" : "was added", path);
    users_free(users);
    return err;
}

static enum weir_err drop(const char *path, const char *name, struct weir_error *error)
{
    struct users *users;
    enum weir_err err = load(path, false, &users, error);
    if (err != WEIR_OK)
        return err;
    if (!users_remove(users, weir_slice(name, strlen(name))))
        err = weir_error_set(error, WEIR_NOT_FOUND, -1,
                             "there is no user %s in %s; weir users list shows them", name, path);
    if (err == WEIR_OK)
        err = users_save(users, path, error);
    if (err == WEIR_OK)
        printf("%s was removed from %s\n", name, path);
    users_free(users);
    return err;
}

static enum weir_err list(const char *path, struct weir_error *error)
{
    struct users *users;
    enum weir_err err = load(path, false, &users, error);
    if (err != WEIR_OK)
        return err;
    for (struct weir_map_entry *at = NULL; (at = weir_map_next(&users->map, at)) != NULL;)
        printf("%s\n", at->key);
    users_free(users);
    return WEIR_OK;
}

int users_run(const struct run *run)
{
    const char *verb = weir_settings_argument(run->settings, 0);
    bool named = weir_settings_argument_count(run->settings) > 1;
    const char *name = named ? weir_settings_argument(run->settings, 1) : NULL;
    bool lists = strcmp(verb, "list") == 0, adds = strcmp(verb, "add") == 0;
    struct weir_error error = {.code = WEIR_OK};
    char *path;
    if (!lists && !adds && strcmp(verb, "remove") != 0)
        return fail_usage(run, "\"%s\" is neither list, add nor remove", verb);
    if (lists && named)
        return fail_usage(run, "\"%s\" is one word too many", name);
    if (!lists && !named)
        return fail_usage(run, "%s whom? A name is missing", verb);
    enum weir_err err = embedded_users_path(run->settings, &path, &error);
    if (err != WEIR_OK)
        return fail(run, &error);
    err = lists ? list(path, &error) : adds ? add(path, name, &error) : drop(path, name, &error);
    weir_free(path);
    return err == WEIR_OK ? EXIT_DONE : fail(run, &error);
}
