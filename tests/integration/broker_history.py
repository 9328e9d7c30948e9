#!/usr/bin/env python3
"""The history checker for a short time: its rules find what they should, and a broker and clients
that are killed, stopped and doubled at random break none of them."""
import os
import subprocess
import sys

HISTORY = os.path.join(os.environ["WEIR_SOURCE_DIR"], "tests", "history")
for arguments in (["test_check.py"], ["run.py", "--seconds", "15", "--seed", "1"]):
    status = subprocess.call([sys.executable, os.path.join(HISTORY, arguments[0]), *arguments[1:]])
    if status != 0:
        sys.exit(status)
