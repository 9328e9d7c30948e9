#!/usr/bin/env bash
# docs/settings.md is what the program says of its settings.
set -euo pipefail

env -i "$WEIR_BIN" config show --markdown | diff "$WEIR_SOURCE_DIR/docs/settings.md" - || {
    echo 'docs/settings.md is out of date: weir config show --markdown > docs/settings.md'
    exit 1
}
