/* Settings as help, Markdown and lines: base/settings.h. */
#include "base/settings.h"

#include <stdio.h>
#include <string.h>

#include "base/settings_impl.h"

enum { HELP_COLUMN = 30, WIDTH_MIN = 60 };

static const char mask[] = "****";

/* Keeps the first error, so that the writers below need no check between. */
struct output {
    struct weir_buffer *into;
    enum weir_err err;
};

static void WEIR_PRINTF(2, 3) print(struct output *out, const char *format, ...)
{
    va_list args;

    if (out->err != WEIR_OK)
        return;
    va_start(args, format);
    out->err = weir_buffer_appendv(out->into, format, args);
    va_end(args);
}

/* Calls `each` group by group, groups in the order in which the table names them first. */
typedef void write_row_fn(struct output *out, const struct weir_settings *settings,
                          const struct weir_setting *row);

static bool same_group(const struct weir_setting *a, const struct weir_setting *b)
{
    return strcmp(a->group != NULL ? a->group : "", b->group != NULL ? b->group : "") == 0;
}

static void write_groups(struct output *out, const struct weir_settings *settings, bool all,
                         void (*heading)(struct output *out, const char *group), write_row_fn *each)
{
    const struct weir_setting *table = settings->options.table;

    for (size_t i = 0; i < settings->options.count; i++) {
        bool first = true, headed = false;
        for (size_t j = 0; j < i && first; j++)
            first = !same_group(&table[i], &table[j]);
        for (size_t j = i; first && j < settings->options.count; j++) {
            if (!same_group(&table[i], &table[j]) ||
                (!all && !weir_settings_takes(settings, &table[j])))
                continue;
            if (!headed)
                heading(out, table[i].group != NULL ? table[i].group : "Options");
            headed = true;
            each(out, settings, &table[j]);
        }
    }
}

/* ---- help */

static void help_heading(struct output *out, const char *group)
{
    print(out, "\n%s:\n", group);
}

/* Words of text from column `column` on, in lines of `width`. */
static void wrap(struct output *out, const char *text, size_t column, size_t width)
{
    size_t at = column;

    while (*text != '\0') {
        size_t bytes = strcspn(text, " ");
        if (at > column && at + 1 + bytes > width) {
            print(out, "\n%*s", (int)column, "");
            at = column;
        }
        print(out, "%s%.*s", at > column ? " " : "", (int)bytes, text);
        at += bytes + (at > column);
        text += bytes;
        text += strspn(text, " ");
    }
    print(out, "\n");
}

static size_t format_flag(const struct weir_setting *row, char *text, size_t bytes)
{
    const char *argument = weir_setting_argument(row);
    char short_form[8] = "    ";
    int length;

    if (row->flag_short != 0)
        snprintf(short_form, sizeof short_form, "-%c%s ", row->flag_short,
                 row->flag != NULL ? "," : "");
    if (row->flag == NULL && row->flag_short == 0)
        length = snprintf(text, bytes, "  -X %s=%s", row->name, argument);
    else if (row->type == WEIR_SETTING_BOOL)
        length = snprintf(text, bytes, "  %s%s%s", short_form, row->flag != NULL ? "--" : "",
                          row->flag != NULL ? row->flag : "");
    else
        length = snprintf(text, bytes, "  %s%s%s %s", short_form, row->flag != NULL ? "--" : "",
                          row->flag != NULL ? row->flag : "", argument);
    return length > 0 ? (size_t)length : 0;
}

/* The help text and, in brackets, what holds if nothing is given. */
static void format_meaning(const struct weir_setting *row, char *text, size_t bytes)
{
    bool plain_switch = row->type == WEIR_SETTING_BOOL && row->default_text != NULL &&
                        strcmp(row->default_text, "false") == 0;
    const char *help = row->help != NULL ? row->help : "";

    if (row->default_text != NULL && row->default_text[0] != '\0' && !plain_switch)
        snprintf(text, bytes, "%s [%s]", help, row->default_text);
    else
        snprintf(text, bytes, "%s%s", help, row->required ? " [required]" : "");
}

struct help {
    struct output out; /* first: the writers get a pointer to it */
    size_t width;
};

static void help_row(struct output *out, const struct weir_settings *settings,
                     const struct weir_setting *row)
{
    const struct help *help = (const struct help *)(const void *)out;
    char flag[512], meaning[2048];
    size_t bytes = format_flag(row, flag, sizeof flag);

    (void)settings;
    format_meaning(row, meaning, sizeof meaning);
    if (bytes + 1 > HELP_COLUMN)
        print(out, "%s\n%*s", flag, HELP_COLUMN, "");
    else
        print(out, "%-*s", HELP_COLUMN, flag);
    wrap(out, meaning, HELP_COLUMN, help->width);
}

enum weir_err weir_settings_write_help(const struct weir_settings *settings, int width,
                                       struct weir_buffer *into)
{
    struct help help = {.out = {.into = into},
                        .width = width < WIDTH_MIN ? WIDTH_MIN : (size_t)width};

    write_groups(&help.out, settings, false, help_heading, help_row);
    return help.out.err;
}

/* ---- Markdown */

static void markdown_heading(struct output *out, const char *group)
{
    print(out,
          "\n### %s\n\n| Key | Flag | Environment | Value | Default | Meaning |\n"
          "|---|---|---|---|---|---|\n",
          group);
}

/* Text of a table's cell: a bar would end it. */
static void cell(struct output *out, const char *text, bool code)
{
    const char *quote = code && *text != '\0' ? "`" : "";

    print(out, " %s", quote);
    for (; *text != '\0'; text++)
        print(out, *text == '|' ? "\\%c" : "%c", *text == '\n' ? ' ' : *text);
    print(out, "%s |", quote);
}

static void markdown_row(struct output *out, const struct weir_settings *settings,
                         const struct weir_setting *row)
{
    char flag[256] = "";

    (void)settings;
    if (row->flag != NULL)
        snprintf(flag, sizeof flag, "--%s", row->flag);
    else if (row->flag_short != 0)
        snprintf(flag, sizeof flag, "-%c", row->flag_short);
    print(out, "|");
    cell(out, row->name, true);
    cell(out, flag, true);
    print(out, " `");
    if (out->err == WEIR_OK)
        out->err = weir_settings_environment_name(row->name, out->into);
    print(out, "` |");
    cell(out, weir_setting_argument(row), true);
    cell(out, row->default_text != NULL ? row->default_text : "", true);
    cell(out, row->help != NULL ? row->help : "", false);
    print(out, "\n");
}

enum weir_err weir_settings_write_markdown(const struct weir_settings *settings,
                                           struct weir_buffer *into)
{
    struct output out = {.into = into};

    write_groups(&out, settings, true, markdown_heading, markdown_row);
    return out.err;
}

/* ---- values */

/* A value as a .properties file would have to say it. */
static void property_value(struct output *out, const char *value)
{
    if (*value == ' ')
        print(out, "\\");
    for (; *value != '\0'; value++) {
        if (*value == '\\')
            print(out, "\\\\");
        else if (*value == '\n')
            print(out, "\\n");
        else if (*value == '\r')
            print(out, "\\r");
        else if (*value == '\t')
            print(out, "\\t");
        else
            print(out, "%c", *value);
    }
}

static void value_line(struct output *out, const char *name, const char *value, const char *detail)
{
    print(out, "%s=", name);
    property_value(out, value);
    if (detail != NULL)
        print(out, "   # %s", detail);
    print(out, "\n");
}

enum weir_err weir_settings_write_values(const struct weir_settings *settings, bool with_origin,
                                         struct weir_buffer *into)
{
    struct output out = {.into = into};

    for (size_t i = 0; i < settings->options.count; i++) {
        const struct weir_setting *row = &settings->options.table[i];
        const char *text = settings->states[i].value.text, *detail;
        if (text == NULL || !weir_settings_takes(settings, row))
            continue;
        weir_settings_origin(settings, row->name, &detail);
        value_line(&out, row->name, row->secret ? mask : text, with_origin ? detail : NULL);
    }
    for (size_t i = 0; i < settings->extra_count; i++) {
        const struct setting_extra *extra = &settings->extras[i];
        value_line(&out, extra->name,
                   weir_settings_is_secret_name(extra->name) ? mask : extra->value,
                   with_origin ? extra->detail : NULL);
    }
    return out.err;
}
