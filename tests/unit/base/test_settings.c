/* Settings: precedence, types, messages, help. */
#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/settings.h"

enum { SERVE = 1, READ = 2 };

static const struct weir_setting table[] = {
    {.name = "bootstrap.servers",
     .flag = "brokers",
     .flag_short = 'b',
     .type = WEIR_SETTING_LIST,
     .default_text = "127.0.0.1:9092",
     .argument = "HOST:PORT,...",
     .help = "Kafka brokers.",
     .group = "Kafka"},
    {.name = "state.dir",
     .flag = "state-dir",
     .type = WEIR_SETTING_STRING,
     .help = "Where state is kept.",
     .group = "Server",
     .commands = SERVE},
    {.name = "num.stream.threads",
     .flag = "threads",
     .type = WEIR_SETTING_INT,
     .default_text = "1",
     .min = 1,
     .max = 64,
     .help = "Threads that score.",
     .group = "Server",
     .commands = SERVE},
    {.name = "error.rate",
     .flag = "error-rate",
     .type = WEIR_SETTING_DOUBLE,
     .default_text = "0.5",
     .min = 0,
     .max = 1,
     .group = "Server"},
    {.name = "verbose",
     .flag = "verbose",
     .flag_short = 'v',
     .type = WEIR_SETTING_BOOL,
     .default_text = "false",
     .help = "Say more."},
    {.name = "quiet",
     .flag = "quiet",
     .flag_short = 'q',
     .type = WEIR_SETTING_BOOL,
     .default_text = "false",
     .help = "Say less."},
    {.name = "commit.interval.ms",
     .type = WEIR_SETTING_DURATION,
     .default_text = "100ms",
     .min = 1,
     .max = INT64_MAX,
     .help = "Time between commits.",
     .group = "Server"},
    {.name = "cache.bytes",
     .flag = "cache",
     .type = WEIR_SETTING_BYTES,
     .default_text = "64MiB",
     .group = "Server"},
    {.name = "no.model",
     .flag = "no-model",
     .type = WEIR_SETTING_ENUM,
     .default_text = "skip",
     .values = "skip|wait|dead-letter",
     .group = "Server"},
    {.name = "http.listen",
     .flag = "http",
     .type = WEIR_SETTING_ENDPOINT,
     .default_text = "127.0.0.1:8888",
     .group = "Server"},
    {.name = "sasl.password", .type = WEIR_SETTING_STRING, .secret = true, .group = "Kafka"},
    {.name = "input_file-name",
     .flag = "input",
     .flag_short = 'i',
     .type = WEIR_SETTING_STRING,
     .required = true,
     .commands = READ},
};

static bool passes(void *opaque, const char *name)
{
    (void)opaque;
    return strcmp(name, "linger.ms") == 0;
}

static struct weir_settings *make(uint32_t command)
{
    const struct weir_settings_options options = {.table = table,
                                                  .count = WEIR_ARRAY_COUNT(table),
                                                  .command = command,
                                                  .command_name = "weir serve",
                                                  .passes = passes};
    struct weir_settings *settings = NULL;
    struct weir_error error = {.message = ""};

    if (weir_settings_new(&options, &settings, &error) != WEIR_OK)
        fail_msg("%s", error.message);
    return settings;
}

/* Words separated by blanks; gives the message of the error, "" if there is none. */
static const char *load_words(struct weir_settings *settings, const char *line)
{
    static char words[512], *argv[32];
    static struct weir_error error;
    int argc = 0;
    bool help;
    char *save = NULL;

    snprintf(words, sizeof words, "%s", line);
    for (char *word = strtok_r(words, " ", &save); word; word = strtok_r(NULL, " ", &save))
        argv[argc++] = word;
    error.message[0] = '\0';
    if (weir_settings_load_arguments(settings, argc, (const char *const *)argv, &help, &error) !=
        WEIR_OK)
        assert_true(error.message[0] != '\0');
    return error.message;
}

static const char *load_text(struct weir_settings *settings, const char *text)
{
    static struct weir_error error;

    error.message[0] = '\0';
    if (weir_settings_load_text(settings, "x.properties", weir_slice(text, strlen(text)), &error) !=
        WEIR_OK)
        assert_true(error.message[0] != '\0');
    return error.message;
}

static const char *load_variable(struct weir_settings *settings, const char *variable)
{
    const char *environment[] = {"PATH=/bin", variable, NULL};
    static struct weir_error error;

    error.message[0] = '\0';
    if (weir_settings_load_environment(settings, environment, &error) != WEIR_OK)
        assert_true(error.message[0] != '\0');
    return error.message;
}

static void defaults_hold_and_have_their_types(void **state)
{
    struct weir_settings *s = make(SERVE);
    struct weir_endpoint http = weir_settings_endpoint(s, "http.listen");
    const char *detail;

    (void)state;
    assert_false(weir_settings_is_set(s, "state.dir"));
    assert_null(weir_settings_string(s, "state.dir"));
    assert_int_equal(weir_settings_int(s, "num.stream.threads"), 1);
    assert_true(weir_settings_double(s, "error.rate") == 0.5);
    assert_int_equal(weir_settings_int(s, "commit.interval.ms"), 100);
    assert_int_equal(weir_settings_int(s, "cache.bytes"), 64 << 20);
    assert_int_equal(weir_settings_enum(s, "no.model"), 0);
    assert_string_equal(weir_settings_string(s, "no.model"), "skip");
    assert_string_equal(http.host, "127.0.0.1");
    assert_int_equal(http.port, 8888);
    assert_int_equal(weir_settings_origin(s, "no.model", &detail), WEIR_ORIGIN_DEFAULT);
    assert_string_equal(detail, "default");
    assert_int_equal(weir_settings_origin(s, "state.dir", NULL), WEIR_ORIGIN_UNSET);
    weir_settings_free(s);
}

static void flags_come_in_all_their_forms(void **state)
{
    struct weir_settings *s = make(SERVE);

    (void)state;
    assert_string_equal(load_words(s, "one --state-dir=/x --threads 3 -vq -bh1:1 -b h2:2,h3:3 "
                                      "--no-model=wait -X linger.ms=5 -X num.stream.threads=4 - "
                                      "-- --two"),
                        "");
    assert_string_equal(weir_settings_string(s, "state.dir"), "/x");
    assert_int_equal(weir_settings_int(s, "num.stream.threads"), 4);
    assert_true(weir_settings_bool(s, "verbose") && weir_settings_bool(s, "quiet"));
    assert_int_equal(weir_settings_list_count(s, "bootstrap.servers"), 3);
    assert_string_equal(weir_settings_list_item(s, "bootstrap.servers", 0), "h1:1");
    assert_string_equal(weir_settings_list_item(s, "bootstrap.servers", 2), "h3:3");
    assert_int_equal(weir_settings_enum(s, "no.model"), 1);
    assert_int_equal(weir_settings_argument_count(s), 3);
    assert_string_equal(weir_settings_argument(s, 0), "one");
    assert_string_equal(weir_settings_argument(s, 1), "-");
    assert_string_equal(weir_settings_argument(s, 2), "--two");
    assert_int_equal(weir_settings_extra_count(s), 1);
    const char *name, *value;
    weir_settings_extra(s, 0, &name, &value);
    assert_string_equal(name, "linger.ms");
    assert_string_equal(value, "5");
    weir_settings_free(s);
}

static void flags_beat_environment_beats_files_beat_defaults_in_any_order_of_loading(void **state)
{
    struct weir_settings *s = make(SERVE);
    const char *detail;

    (void)state;
    assert_string_equal(load_words(s, "--state-dir flag --no-verbose"), "");
    assert_string_equal(load_variable(s, "WEIR_STATE_DIR=environment"), "");
    assert_string_equal(load_variable(s, "WEIR_ERROR_RATE=0.25"), "");
    assert_string_equal(load_variable(s, "WEIR_CACHE_BYTES="), "");
    assert_string_equal(load_text(s, "state.dir=file\nerror.rate=1\n\ncache.bytes = 1KiB\n"), "");
    assert_string_equal(load_text(s, "cache.bytes=2KiB\nverbose=true\nlinger.ms=9\n"), "");
    assert_string_equal(weir_settings_string(s, "state.dir"), "flag");
    assert_int_equal(weir_settings_origin(s, "state.dir", &detail), WEIR_ORIGIN_FLAG);
    assert_string_equal(detail, "--state-dir");
    assert_true(weir_settings_double(s, "error.rate") == 0.25);
    assert_int_equal(weir_settings_origin(s, "error.rate", &detail), WEIR_ORIGIN_ENVIRONMENT);
    assert_string_equal(detail, "WEIR_ERROR_RATE");
    assert_int_equal(weir_settings_int(s, "cache.bytes"), 2048);
    assert_int_equal(weir_settings_origin(s, "cache.bytes", &detail), WEIR_ORIGIN_FILE);
    assert_string_equal(detail, "x.properties:1");
    assert_false(weir_settings_bool(s, "verbose"));
    weir_settings_free(s);
}

static void names_of_variables_map_dots_bars_and_dashes(void **state)
{
    struct weir_settings *s = make(READ);
    struct weir_buffer b;

    (void)state;
    weir_buffer_init(&b, 100);
    assert_int_equal(weir_settings_environment_name("input_file-name", &b), WEIR_OK);
    assert_string_equal(weir_buffer_text(&b), "WEIR_INPUT__FILE___NAME");
    assert_string_equal(load_variable(s, "WEIR_INPUT__FILE___NAME=x"), "");
    assert_string_equal(weir_settings_string(s, "input_file-name"), "x");
    assert_string_equal(load_variable(s, "WEIR_LINGER_MS=7"), "");
    assert_int_equal(weir_settings_extra_count(s), 1);
    weir_buffer_release(&b);
    weir_settings_free(s);
}

static void mistakes_are_told_with_place_reason_and_hint(void **state)
{
    static const struct {
        const char *words, *message;
    } cases[] = {
        {"--stat-dir x", "--stat-dir is not an option of weir serve: did you mean --state-dir?"},
        {"--zzzzz", "--zzzzz is not an option of weir serve"},
        {"-z", "-z is not an option of weir serve"},
        {"--input x", "--input is not an option of weir serve"},
        {"--threads", "--threads needs a value: N"},
        {"--threads many", "--threads: \"many\" is not a whole number"},
        {"--threads 0", "--threads: must be from 1 to 64"},
        {"--error-rate 1.5", "--error-rate: must be from 0 to 1"},
        {"--verbose=maybe", "--verbose: \"maybe\" is not true or false"},
        {"--no-model drop", "--no-model: \"drop\" is not one of skip|wait|dead-letter"},
        {"--cache 5parsecs",
         "--cache: \"5parsecs\" is not a size like 4096, 512KiB, 64MiB or 1GiB"},
        {"-X commit.interval.ms=0", "-X commit.interval.ms: must be at least 1"},
        {"-X linger", "-X linger: expected -X name=value"},
        {"-X", "-X needs a value: name=value"},
        {"-X sasl.password=x", "-X sasl.password: others can see the command line: set "
                               "WEIR_SASL_PASSWORD, WEIR_SASL_PASSWORD_FILE or a line of a file"},
        {"--http localhost",
         "--http: \"localhost\": the port is missing (expected HOST:PORT, for example "
         "127.0.0.1:9092)"},
    };

    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_COUNT(cases); i++) {
        struct weir_settings *s = make(SERVE);
        assert_string_equal(load_words(s, cases[i].words), cases[i].message);
        weir_settings_free(s);
    }
    struct weir_settings *s = make(SERVE);
    assert_string_equal(load_text(s, "# x\nstate.dri=1\n"),
                        "x.properties:2: unknown setting \"state.dri\": did you mean state.dir?");
    assert_string_equal(load_text(s, "error.rate=x"),
                        "x.properties:1: error.rate: \"x\" is not a number");
    assert_string_equal(load_text(s, "a\\u12"),
                        "x.properties: line 1: \\u needs four hexadecimal digits");
    assert_string_equal(load_variable(s, "WEIR_STATE_DRI=1"),
                        "WEIR_STATE_DRI: unknown setting \"state.dri\": did you mean state.dir?");
    weir_settings_free(s);
}

static void units_are_read(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } durations[] = {{"250", 250},   {"250ms", 250},  {"10s", 10000},    {"5 m", 300000},
                     {"1.5s", 1500}, {"2h", 7200000}, {"7d", 604800000}, {"0.25s", 250}};
    static const struct {
        const char *text;
        int64_t bytes;
    } sizes[] = {{"4096", 4096},         {"1KiB", 1024},  {"10MB", 10000000},
                 {"1.5GiB", 1610612736}, {"3M", 3145728}, {"8 TiB", INT64_C(8) << 40}};
    static const char *const refused[] = {
        "", "ms", "1.0001s", "1 fortnight", "1ss", "999999999999d", "--1", "1e3"};
    struct weir_settings *s = make(SERVE);

    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_COUNT(durations); i++) {
        assert_int_equal(
            weir_settings_set(s, "commit.interval.ms", durations[i].text, "test", NULL), WEIR_OK);
        assert_int_equal(weir_settings_int(s, "commit.interval.ms"), durations[i].ms);
    }
    for (size_t i = 0; i < WEIR_ARRAY_COUNT(sizes); i++) {
        assert_int_equal(weir_settings_set(s, "cache.bytes", sizes[i].text, "test", NULL), WEIR_OK);
        assert_int_equal(weir_settings_int(s, "cache.bytes"), sizes[i].bytes);
    }
    for (size_t i = 0; i < WEIR_ARRAY_COUNT(refused); i++)
        assert_int_equal(weir_settings_set(s, "commit.interval.ms", refused[i], "test", NULL),
                         WEIR_INVALID);
    assert_int_equal(weir_settings_int(s, "commit.interval.ms"), 250);
    weir_settings_free(s);
}

static void a_required_setting_is_missed(void **state)
{
    struct weir_settings *s = make(READ);
    struct weir_error error;

    (void)state;
    assert_int_equal(weir_settings_check(s, &error), WEIR_INVALID);
    assert_string_equal(error.message, "input_file-name is missing: give --input TEXT");
    assert_string_equal(load_words(s, "-i x"), "");
    assert_int_equal(weir_settings_check(s, &error), WEIR_OK);
    weir_settings_free(s);
    s = make(SERVE);
    assert_int_equal(weir_settings_check(s, &error), WEIR_OK);
    weir_settings_free(s);
}

static void secrets_come_from_files_and_are_masked(void **state)
{
    struct weir_settings *s = make(SERVE);
    char path[] = "/tmp/weir-secret-XXXXXX", variable[128];
    int fd = mkstemp(path);
    struct weir_buffer b;

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "hush\n", 5), 5);
    close(fd);
    snprintf(variable, sizeof variable, "WEIR_SASL_PASSWORD_FILE=%s", path);
    assert_string_equal(load_variable(s, variable), "");
    unlink(path);
    assert_string_equal(weir_settings_string(s, "sasl.password"), "hush");
    assert_true(strstr(load_variable(s, variable), "WEIR_SASL_PASSWORD_FILE: ") != NULL);
    assert_string_equal(load_words(s, "-X ssl.key.password=hush --state-dir a\\b"), "");
    weir_buffer_init(&b, 10000);
    assert_int_equal(weir_settings_write_values(s, true, &b), WEIR_OK);
    assert_null(strstr(weir_buffer_text(&b), "hush"));
    assert_non_null(
        strstr(weir_buffer_text(&b), "sasl.password=****   # WEIR_SASL_PASSWORD_FILE\n"));
    assert_non_null(strstr(weir_buffer_text(&b), "state.dir=a\\\\b   # --state-dir\n"));
    assert_non_null(strstr(weir_buffer_text(&b), "ssl.key.password=****"));
    assert_non_null(strstr(weir_buffer_text(&b), "error.rate=0.5   # default\n"));
    weir_buffer_release(&b);
    weir_settings_free(s);
}

static void help_is_grouped_wrapped_and_of_the_command(void **state)
{
    struct weir_settings *s = make(SERVE);
    struct weir_buffer b;
    const char *const words[] = {"--zzz", "--help"};
    bool help = false;

    (void)state;
    assert_int_equal(weir_settings_load_arguments(s, 2, words, &help, NULL), WEIR_OK);
    assert_true(help);
    weir_buffer_init(&b, 10000);
    assert_int_equal(weir_settings_write_help(s, 80, &b), WEIR_OK);
    assert_non_null(strstr(weir_buffer_text(&b),
                           "\nKafka:\n"
                           "  -b, --brokers HOST:PORT,... Kafka brokers. [127.0.0.1:9092]\n"));
    assert_non_null(strstr(weir_buffer_text(&b), "  -v, --verbose               Say more.\n"));
    assert_non_null(strstr(weir_buffer_text(&b),
                           "  -X commit.interval.ms=DURATION\n"
                           "                              Time between commits. [100ms]\n"));
    assert_null(strstr(weir_buffer_text(&b), "--input"));
    for (char *line = (char *)b.data; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        assert_true(strcspn(line, "\n") <= 80);
    }
    weir_buffer_clear(&b);
    assert_int_equal(weir_settings_write_markdown(s, &b), WEIR_OK);
    assert_non_null(strstr(weir_buffer_text(&b), "| `no.model` | `--no-model` | `WEIR_NO_MODEL` | "
                                                 "`skip\\|wait\\|dead-letter` | `skip` |  |\n"));
    assert_non_null(strstr(weir_buffer_text(&b), "--input"));
    weir_buffer_release(&b);
    weir_settings_free(s);
}

static void a_faulty_table_is_refused(void **state)
{
    static const struct weir_setting bad[][2] = {
        {{.name = "a b"}, {.name = "x"}},
        {{.name = "a"}, {.name = "a"}},
        {{.name = "a", .flag = "f"}, {.name = "b", .flag = "f"}},
        {{.name = "a", .type = WEIR_SETTING_ENUM}, {.name = "b"}},
        {{.name = "a", .type = WEIR_SETTING_INT, .default_text = "x"}, {.name = "b"}},
        {{.name = "a", .secret = true, .flag = "a"}, {.name = "b"}},
    };

    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_COUNT(bad); i++) {
        const struct weir_settings_options options = {.table = bad[i], .count = 2};
        struct weir_settings *s;
        assert_int_equal(weir_settings_new(&options, &s, NULL), WEIR_INTERNAL);
    }
}

static void near_names_are_near(void **state)
{
    const char *const names[] = {"serve", "score", "inspect", NULL};

    (void)state;
    assert_string_equal(weir_nearest_name("sevre", names), "serve");
    assert_string_equal(weir_nearest_name("scor", names), "score");
    assert_string_equal(weir_nearest_name("inspct", names), "inspect");
    assert_null(weir_nearest_name("broker", names));
    assert_null(weir_nearest_name("", names));
}

static enum weir_err load_all(struct weir_settings **out)
{
    const struct weir_settings_options options = {
        .table = table, .count = WEIR_ARRAY_COUNT(table), .command = SERVE, .passes = passes};
    const char *const words[] = {"a", "-b", "x:1", "-by:2", "-X", "linger.ms=3"};
    const char *const environment[] = {"WEIR_STATE_DIR=/x", NULL};
    static const char text[] = "linger.ms=4\nerror.rate = 0.1\nbootstrap.servers=a,b,c\n";
    bool help;
    enum weir_err err = weir_settings_new(&options, out, NULL);

    if (err == WEIR_OK)
        err = weir_settings_load_text(*out, "t", weir_slice(text, sizeof text - 1), NULL);
    if (err == WEIR_OK)
        err = weir_settings_load_environment(*out, environment, NULL);
    if (err == WEIR_OK)
        err = weir_settings_load_arguments(*out, 6, words, &help, NULL);
    return err;
}

static void every_failing_allocation_is_told_and_leaks_nothing(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct weir_settings *s = NULL;
        struct weir_alloc_counts counts;
        enum weir_err err;

        weir_alloc_watch_start(n);
        err = load_all(&s);
        weir_settings_free(s);
        counts = weir_alloc_watch_stop();
        if (counts.failed == 0) {
            assert_int_equal(err, WEIR_OK);
            assert_int_equal(counts.allocations, counts.frees);
            break;
        }
        assert_int_equal(err, WEIR_NOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_hold_and_have_their_types),
        cmocka_unit_test(flags_come_in_all_their_forms),
        cmocka_unit_test(flags_beat_environment_beats_files_beat_defaults_in_any_order_of_loading),
        cmocka_unit_test(names_of_variables_map_dots_bars_and_dashes),
        cmocka_unit_test(mistakes_are_told_with_place_reason_and_hint),
        cmocka_unit_test(units_are_read),
        cmocka_unit_test(a_required_setting_is_missed),
        cmocka_unit_test(secrets_come_from_files_and_are_masked),
        cmocka_unit_test(help_is_grouped_wrapped_and_of_the_command),
        cmocka_unit_test(a_faulty_table_is_refused),
        cmocka_unit_test(near_names_are_near),
        cmocka_unit_test(every_failing_allocation_is_told_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
