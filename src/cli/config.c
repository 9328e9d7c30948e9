/* cli/config.c - weir config: check the settings, show them, print their table. */
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"

static const char markdown_head[] =
    "# Settings\n\n"
    "Made by `weir config show --markdown`; the table is `src/cli/settings_table.c`.\n"
    "Flags win over `WEIR_...` variables, those over `.properties` files (`--config`), those over "
    "the defaults.\n";

int config_run(const struct run *run)
{
    struct weir_buffer text;
    const char *verb = weir_settings_argument(run->settings, 0);
    bool show = strcmp(verb, "show") == 0;
    if (!show && strcmp(verb, "check") != 0)
        return fail_usage(run, "\"%s\" is neither check nor show", verb);
    weir_buffer_init(&text, 4 << 20);
    enum weir_err err = WEIR_OK;
    if (weir_settings_bool(run->settings, "config.markdown")) {
        err = weir_buffer_append_text(&text, markdown_head);
        if (err == WEIR_OK)
            err = weir_settings_write_markdown(run->settings, &text);
    } else if (show) {
        err = weir_settings_write_values(run->settings,
                                         weir_settings_bool(run->settings, "config.origin"), &text);
    } else {
        err = weir_buffer_append_text(&text, "the settings are valid\n");
    }
    if (err == WEIR_OK)
        fputs(weir_buffer_text(&text), stdout);
    weir_buffer_release(&text);
    return err == WEIR_OK ? EXIT_DONE : EXIT_FAILED;
}
