/* The settings table is whole: every row can be shown, has one name, one flag, a valid default. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "cli/commands.h" /* before cmocka, which makes `fail` a macro */
#include "cli/kafka_names.h"

#include <cmocka.h>

static const uint32_t commands[] = {COMMAND_DEMO,   COMMAND_BROKER, COMMAND_SERVE,  COMMAND_PROVIDE,
                                    COMMAND_READ,   COMMAND_SCORE,  COMMAND_CONFIG, COMMAND_USERS,
                                    COMMAND_TOPICS, COMMAND_GROUPS};
enum { COMMANDS = sizeof commands / sizeof *commands };

static void every_command_takes_the_table_and_its_defaults(void **state)
{
    (void)state;
    for (size_t i = 0; i < COMMANDS; i++) {
        struct weir_settings_options options = {.table = settings_table,
                                                .count = settings_table_count,
                                                .command = commands[i],
                                                .command_name = "test",
                                                .passes = settings_passes};
        struct weir_error error = {.code = WEIR_OK};
        struct weir_settings *settings;
        struct weir_buffer text;
        if (weir_settings_new(&options, &settings, &error) != WEIR_OK)
            fail_msg("%s", error.message);
        weir_buffer_init(&text, 1 << 20);
        assert_int_equal(weir_settings_write_help(settings, 80, &text), WEIR_OK);
        assert_non_null(strstr(weir_buffer_text(&text), "--config"));
        weir_buffer_release(&text);
        weir_settings_free(settings);
    }
}

static void names_and_flags_are_there_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < settings_table_count; i++) {
        const struct weir_setting *row = &settings_table[i];
        assert_non_null(row->name);
        for (size_t j = 0; j < i; j++) {
            const struct weir_setting *other = &settings_table[j];
            assert_string_not_equal(row->name, other->name);
            if (row->flag && other->flag && (row->commands & other->commands) != 0)
                assert_string_not_equal(row->flag, other->flag); /* of the same command */
            assert_false(row->flag_short && row->flag_short == other->flag_short);
        }
    }
}

static void every_row_says_what_it_is_for_in_a_sentence(void **state)
{
    (void)state;
    for (size_t i = 0; i < settings_table_count; i++) {
        const struct weir_setting *row = &settings_table[i];
        if (!row->help || !row->group || !*row->help || !*row->group)
            fail_msg("%s has no help or group", row->name);
        if (row->help[0] < 'A' || row->help[0] > 'Z')
            fail_msg("%s: \"%s\" does not begin as a sentence", row->name, row->help);
        if (row->min > row->max)
            fail_msg("%s: its least is above its most", row->name);
    }
}

static void librdkafkas_properties_pass_and_typing_errors_do_not(void **state)
{
    static const char *const theirs[] = {"security.protocol", "sasl.username",
                                         "ssl.ca.location",   "fetch.min.bytes",
                                         "compression.codec", "acks"};
    static const char *const nobodys[] = {
        "no.modle", "listners",   "staet.dir", "bootstrap.server", "commit.intervall.ms",
        "bin",      "source.dir", ""};
    (void)state;
    for (size_t i = 0; i < sizeof theirs / sizeof *theirs; i++)
        assert_true(settings_passes(NULL, theirs[i]));
    for (size_t i = 0; i < sizeof nobodys / sizeof *nobodys; i++)
        assert_false(settings_passes(NULL, nobodys[i]));
}

/* Kafka's names that we don't have are no rows of ours, or the broker would never see those. */
static void names_of_kafka_hide_no_row(void **state)
{
    (void)state;
    for (size_t i = 0; i < settings_table_count; i++)
        if (settings_table[i].commands & COMMAND_BROKER &&
            kafka_name_find(settings_table[i].name) &&
            !strstr(settings_table[i].name, "ssl.keystore."))
            fail_msg("%s is in both tables", settings_table[i].name);
    assert_true(kafka_name_find("authorizer.class.name")->refused);
    assert_true(kafka_name_find("listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config")->refused);
    assert_false(kafka_name_find("zookeeper.connect")->refused);
    assert_null(kafka_name_find("num.partition"));
    uint32_t serve = COMMAND_SERVE, broker = COMMAND_BROKER;
    assert_true(settings_passes(&broker, "zookeeper.connect"));
    assert_false(settings_passes(&serve, "zookeeper.connect"));
    assert_false(settings_passes(&broker, "num.partition"));
}

/* ssl.keystore.location is the broker's, and librdkafka has a property of that name. */
static void shared_names_reach_librdkafka(void **state)
{
    static const char text[] = "ssl.keystore.location=a.p12\nmessage.max.bytes=5000\n";
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct weir_settings_options options = {.table = settings_table,
                                                .count = settings_table_count,
                                                .command = i ? COMMAND_READ : COMMAND_BROKER,
                                                .command_name = "test",
                                                .passes = settings_passes};
        struct weir_error error = {.code = WEIR_OK};
        struct weir_settings *settings;
        const char *name, *value;
        assert_int_equal(weir_settings_new(&options, &settings, &error), WEIR_OK);
        assert_int_equal(weir_settings_load_text(settings, "test.properties",
                                                 weir_slice(text, sizeof text - 1), &error),
                         WEIR_OK);
        assert_int_equal(weir_settings_extra_count(settings), i ? 2 : 0);
        assert_int_equal(weir_settings_is_set(settings, "ssl.keystore.location"), !i);
        if (i) {
            weir_settings_extra(settings, 0, &name, &value);
            assert_string_equal(name, "ssl.keystore.location");
            assert_string_equal(value, "a.p12");
        }
        weir_settings_free(settings);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_command_takes_the_table_and_its_defaults),
        cmocka_unit_test(names_and_flags_are_there_once),
        cmocka_unit_test(every_row_says_what_it_is_for_in_a_sentence),
        cmocka_unit_test(librdkafkas_properties_pass_and_typing_errors_do_not),
        cmocka_unit_test(names_of_kafka_hide_no_row),
        cmocka_unit_test(shared_names_reach_librdkafka),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
