"""Settings are checked with file and line, shown with their origin, and taken in their order."""
from _cli import ENVIRONMENT, check, finish, weir, write

good = write("good.properties", "# three threads\nnum.stream.threads=3\nno.model=skip\n")
later = write("later.properties", "num.stream.threads=5\n")

weir("config", "check").gives(0, "the settings are valid\n")
weir("config", "check", "--config", good, "--config", later).gives(0, "the settings are valid\n")

for text, line, words in [
        ("num.stream.threads=3\n\nno.model=mybe\n", 3, '"mybe" is not one of skip|wait'),
        ("no.modle=wait\n", 1, "did you mean no.model?"),
        ("# a\n# b\nnum.stream.threads=many\n", 3, "num.stream.threads"),
        ("num.stream.threads=65\n", 1, "must be from 1 to 64"),
        ("commit.interval.ms=12 parsecs\n", 1, "is not a duration"),
        ("\nhttp.listen=127.0.0.1:70000\n", 2, "http.listen")]:
    bad = write("bad.properties", text)
    weir("config", "check", "--config", bad).gives(2, "", "%s:%d: " % (bad, line)) \
        .gives(2, "", words)
weir("config", "check", "--config", "/no/such/file").gives(2, "", "/no/such/file")

shown = weir("config", "show", "--origin", "--config", good, "--config", later,
             WEIR_NO_MODEL="wait", WEIR_POLL_MS="").gives(0)
shown.says("num.stream.threads=5   # %s:1\n" % later, "no.model=wait   # WEIR_NO_MODEL\n",
           "poll.ms=100ms   # default\n")
weir("config", "show", "--origin", "--threads", "7", "--config", good,
     WEIR_NUM_STREAM_THREADS="6").gives(0).says("num.stream.threads=7   # --threads\n")
plain = weir("config", "show", "--config", good).gives(0).says("num.stream.threads=3\n")
check("#" not in plain.output.replace("# ", ""), "origins are shown without --origin")

# What is shown is a file that says the same, but for its own name.
again = weir("config", "show", "--config", write("again.properties", plain.output)).gives(0)
check(again.output.split("\n", 1)[1] == plain.output.split("\n", 1)[1],
      "what config show writes reads back as something else")

# The environment is shared: a stranger's variable is told and passed over, a wrong value is not.
odd = weir("config", "check", WEIR_STATIONS="12", WEIR_POLL_MSS="1").gives(
    0, "the settings are valid\n", "WEIR_STATIONS: unknown setting")
odd.gives(0, None, "WEIR_POLL_MSS: unknown setting \"poll.mss\": did you mean poll.ms? (ignored)")
weir("config", "check", WEIR_POLL_MS="soon").gives(
    2, "", "WEIR_POLL_MS: \"soon\" is not a duration")
check(not any(k.startswith("WEIR_") for k in ENVIRONMENT), "the test's variables are passed on")

weir("config", "check", "-X", "socket.nagle.disable=true").gives(0)
with open("/dev/full", "w", encoding="utf-8") as full:
    weir("config", "show", stdout=full).gives(1, None, "standard output could not be written to")

finish()
