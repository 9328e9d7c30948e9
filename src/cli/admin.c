/* cli/admin.c - a cluster to administer, columns and the question, see admin.h. */
#include "cli/admin.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "cli/clients.h"

enum weir_err admin_open(const struct run *run, struct admin *out, struct weir_error *error)
{
    struct weir_kafka_options options;
    *out =
        (struct admin){.run = run,
                       .timeout_ms = (int32_t)weir_settings_int(run->settings, "admin.timeout.ms"),
                       .json = weir_settings_bool(run->settings, "admin.json")};
    if (clients_kafka(run->settings, NULL, run->log, &options, &out->properties) != WEIR_OK)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for the settings");
    enum weir_err err = weir_kafka_new(&options, &out->kafka, error);
    if (err != WEIR_OK)
        admin_close(out);
    return err;
}

void admin_close(struct admin *admin)
{
    weir_kafka_free(admin->kafka);
    weir_free(admin->properties);
    admin->kafka = NULL;
    admin->properties = NULL;
}

enum weir_err admin_confirm(const struct run *run, const char *question, struct weir_error *error)
{
    char line[16] = "";
    if (weir_settings_bool(run->settings, "admin.yes"))
        return WEIR_OK;
    if (!isatty(STDIN_FILENO))
        return weir_error_set(error, WEIR_DENIED, -1, "%s Give --yes if so", question);
    fprintf(stderr, "%s [y/N] ", question);
    if (fgets(line, sizeof line, stdin) && (line[0] == 'y' || line[0] == 'Y'))
        return WEIR_OK;
    return weir_error_set(error, WEIR_DENIED, -1, "nothing was done");
}

enum weir_err admin_print_json(struct weir_json *json, struct weir_buffer *text,
                               struct weir_error *error)
{
    enum weir_err err = weir_json_end(json);
    if (err != WEIR_OK)
        weir_error_set(error, err, -1, "the answer is too large to print");
    else
        printf("%s\n", weir_buffer_text(text));
    weir_buffer_release(text);
    return err;
}

/* ---- columns --------------------------------------------------------------------------------- */

void table_begin(struct table *table, const char *const *heads)
{
    *table = (struct table){.err = WEIR_OK};
    weir_buffer_init(&table->cells, TABLE_BYTES_MAX);
    while (heads[table->columns] && table->columns < TABLE_COLUMNS_MAX)
        table->columns++;
    for (uint32_t i = 0; i < table->columns; i++) {
        table->right[i] = heads[i][0] == '>';
        table_cell(table, "%s", heads[i] + table->right[i]);
    }
}

void table_cell(struct table *table, const char *format, ...)
{
    size_t before = table->cells.bytes;
    va_list args;
    if (table->err != WEIR_OK)
        return;
    va_start(args, format);
    table->err = weir_buffer_appendv(&table->cells, format, args);
    va_end(args);
    size_t bytes = table->cells.bytes - before, *width;
    if (table->err == WEIR_OK)
        table->err = weir_buffer_append_byte(&table->cells, '\0');
    width = &table->widths[table->cell_count++ % table->columns];
    *width = bytes > *width ? bytes : *width;
}

void table_number(struct table *table, int64_t value)
{
    if (value < 0)
        table_cell(table, "-");
    else
        table_cell(table, "%" PRId64, value);
}

enum weir_err table_print(struct table *table, struct weir_error *error)
{
    const char *at = (const char *)table->cells.data;
    for (uint32_t i = 0; table->err == WEIR_OK && i < table->cell_count; i++) {
        uint32_t column = i % table->columns;
        bool last = column + 1 == table->columns;
        int width = last && !table->right[column] ? 0 : (int)table->widths[column];
        printf("%s%*s%s", column ? "  " : "", table->right[column] ? width : -width, at,
               last ? "\n" : "");
        at += strlen(at) + 1;
    }
    weir_buffer_release(&table->cells);
    return table->err == WEIR_OK
               ? WEIR_OK
               : weir_error_set(error, table->err, -1, "the answer is too large to print");
}

/* ---- lists ----------------------------------------------------------------------------------- */

void admin_listing_begin(const struct admin *admin, const char *const *heads,
                         struct admin_listing *out)
{
    out->as_json = admin->json;
    weir_buffer_init(&out->text, TABLE_BYTES_MAX);
    table_begin(&out->table, heads);
    weir_json_begin(&out->json, &out->text);
    weir_json_array_begin(&out->json);
}

enum weir_err admin_listing_end(struct admin_listing *listing, enum weir_err err,
                                struct weir_error *error)
{
    weir_json_array_end(&listing->json);
    if (err == WEIR_OK)
        err = listing->as_json ? admin_print_json(&listing->json, &listing->text, error)
                               : table_print(&listing->table, error);
    weir_buffer_release(&listing->text);
    weir_buffer_release(&listing->table.cells);
    return err;
}
