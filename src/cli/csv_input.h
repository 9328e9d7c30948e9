/*
 * cli/csv_input.h - a CSV file, as --delimiter, --names and --missing describe it.
 *
 * Life, threads, memory, errors: weir_csv_open's.
 */
#ifndef CLI_CSV_INPUT_H
#define CLI_CSV_INPUT_H

#include <weir/record.h>

#include "cli/commands.h"

/* Says what is wrong with these settings. False: something is, and EXIT_USAGE is due. */
bool csv_input_check(const struct run *run);
WEIR_MUST_USE enum weir_err csv_input_open(const struct weir_settings *settings, const char *path,
                                           struct weir_csv_reader **reader_out,
                                           struct weir_error *error);

#endif
