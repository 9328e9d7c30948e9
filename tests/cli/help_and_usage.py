"""Help tells how to use each command; wrong usage ends with 2 and a hint."""
import re

from _cli import check, finish, weir

COMMANDS = ["demo", "broker", "serve", "provide", "read", "score", "config"]

overview = weir("--help").gives(0).says("usage: weir COMMAND", *COMMANDS)
check(weir("help").output == overview.output, "help is not --help")
check(weir("-h").output == overview.output, "-h is not --help")
nothing = weir().gives(2, output="")
check(nothing.errors == overview.output, "weir alone does not show its commands")
check(re.fullmatch(r"weir \d+\.\d+\.\d+\n", weir("--version").gives(0).output), "--version")

for command in COMMANDS:
    own = weir(command, "--help").gives(0).says(
        "usage: weir " + command, "\nexamples:\n  weir " + command, "--config", "--log-level")
    check(own.errors == "", command + " --help writes errors")
    check(max(map(len, own.output.splitlines())) <= 100, command + " --help has long lines")
    check(weir("help", command).output == own.output, "help %s is another one" % command)
    check(weir(command, "-h").output == own.output, "%s -h is another one" % command)
    # What an example says must be understood: its options are in the same help.
    for option in re.findall(r"^  weir .*$", own.output, re.M):
        for flag in re.findall(r"(--[a-z-]+)", option):
            check(flag in own.output.split("examples:")[1].split("\n\n", 1)[1],
                  "%s: the example's %s is no option" % (command, flag))

weir("scor").gives(2, "", 'no command "scor"; did you mean "score"?')
weir("frobnicate").gives(2, "", "'weir --help' lists the commands")
weir("serve", "streams", "--thraeds", "3").gives(2, "", "did you mean --threads?")
weir("serve", "streams", "--rate", "3").gives(2, "", "--rate is not an option of serve")
weir("serve", "streams", "--threads").gives(2, "", "--threads")
weir("serve", "streams", "--threads", "0").gives(2, "", "must be from 1 to 64")
weir("serve", "streams", "--threads", "x").gives(2, "", "--threads")
weir("serve").gives(2, "", "streams [custom|standard|memory] | flow [custom] is missing")
weir("serve", "stream").gives(2, "", '"stream" is no engine')
weir("serve", "streams", "actor").gives(2, "", '"actor" is no kind of "streams" that is here; there is "custom", "standard"')
weir("serve", "flow", "--guarantee", "exactly_once_v2").gives(2, "", "for the streams engine")
weir("serve", "flow", "memory").gives(2, "", '"memory" is no kind of "flow"')
weir("serve", "streams", "memory", "more").gives(2, "", '"more" is one word too many')
weir("read").gives(2, "", "TOPIC is missing")
weir("read", "a", "b").gives(2, "", '"b" is one word too many')
weir("score").gives(2, "", "give --model FILE")
weir("config").gives(2, "", "check|show is missing")
weir("config", "chekc").gives(2, "", '"chekc" is neither check nor show')
weir("broker", "--listen", "nowhere").gives(2, "", "--listen")

finish()
