#!/usr/bin/env python3
"""Weir's broker beside Apache Kafka: the same client, the same loads, by turns in one run.

usage: bench/brokers.py [--quick] [--rounds N]

Both keep their defaults, Kafka with a heap of 1 GiB; flush is left to the system, apart from the row
that says otherwise. Each figure is the median of the rounds; ratios come from medians of one run.
CPU is that of the broker's process alone. --quick: a few records, to see that it runs.
"""
import argparse
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(HERE)
BUILD = os.environ.get("WEIR_BUILD_DIR", os.path.join(SOURCE, "build"))
LOAD = os.path.join(BUILD, "bench", "broker_load")
WEIR = os.path.join(BUILD, "weir")
TICKS = os.sysconf("SC_CLK_TCK")


class Broker:
    """A running broker: address, process, and how to start it again."""

    def cpu_s(self):
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory_mb(self):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            for line in file:
                if line.startswith("VmRSS"):
                    return int(line.split()[1]) / 1024
        return 0

    def load(self, *arguments):
        result = subprocess.run([LOAD, self.address, *map(str, arguments)], check=False,
                                capture_output=True, text=True)
        if result.returncode != 0:
            sys.exit(f"{self.name}: {' '.join(map(str, arguments))}: {result.stderr}")
        return [float(word) for word in result.stdout.split()]


class Weir(Broker):
    name = "weir"

    def __init__(self, directory, flush="none"):
        self.directory, self.flush = directory, flush
        self.port = 0
        self.launch()

    def launch(self):
        start = time.monotonic()
        self.process = subprocess.Popen(
            [WEIR, "broker", "--listen", f"127.0.0.1:{self.port}", "--data-dir", self.directory,
             "--flush", self.flush], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        line = self.process.stdout.readline()
        self.address = line.split()[2].rstrip(",")
        self.port = int(self.address.split(":")[1])
        self.pid = self.process.pid
        return start

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Kafka(Broker):
    name = "kafka"

    def __init__(self, directory):
        self.directory = directory
        port = random.randrange(20000, 30000)
        self.start = time.monotonic()
        result = subprocess.run([os.path.join(SOURCE, "scripts/kafka-server"), "start", "--dir",
                                 directory, "--port", str(port), "--heap", "1g"],
                                stdout=subprocess.PIPE, text=True, check=False)
        if result.returncode != 0:
            raise RuntimeError("Apache Kafka could not be fetched or started")
        self.address = result.stdout.strip()
        with open(os.path.join(directory, "pid"), encoding="ascii") as file:
            self.pid = int(file.read())
        with open(f"/proc/{self.pid}/cmdline", encoding="utf-8") as file:
            self.command = file.read().rstrip("\0").split("\0")
        self.child = None

    def launch(self):
        start = time.monotonic()
        self.child = subprocess.Popen(self.command, stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL)
        self.pid = self.child.pid
        return start

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        if self.child:
            self.child.wait()
        else:
            while os.path.exists(f"/proc/{self.pid}"):
                time.sleep(0.05)

    stop = kill


def median(values):
    return statistics.median(values)


def row(what, unit, ours, theirs, more_is_better, target=None):
    """One line: both figures, and how much better or worse ours is."""
    line = f"{what:<52} {ours:>12,.3f}"
    if theirs is not None:
        ratio = ours / theirs if more_is_better else theirs / ours
        line += f" {theirs:>12,.3f}  {ratio:6.2f} x better" if ratio >= 1 else \
                f" {theirs:>12,.3f}  {1 / ratio:6.2f} x worse"
    print(f"{line}  [{unit}]{'  target: ' + target if target else ''}", flush=True)


def by_turns(brokers, rounds, measure):
    """Each broker's medians of what `measure` gives."""
    results = {broker.name: [] for broker in brokers}
    for turn in range(rounds):
        for broker in brokers:
            results[broker.name].append(measure(broker, turn))
    return {name: [median(column) for column in zip(*rows)] for name, rows in results.items()}


def both(results, column, of=lambda value: value):
    ours = of(results["weir"][column])
    return ours, of(results["kafka"][column]) if "kafka" in results else None


def rates(brokers, rounds, records, size, producers):
    def measure(broker, turn):
        topic = f"rate-{size}-{producers}-{turn}"
        broker.load("make", topic)
        before = broker.cpu_s()
        produced = broker.load("produce", topic, records, size, producers)[0]
        between = broker.cpu_s()
        consumed = broker.load("consume", topic, records // producers * producers)[0]
        return produced, between - before, consumed, broker.cpu_s() - between
    results = by_turns(brokers, rounds, measure)
    what = f"{size} bytes, {producers} producer{'s' if producers > 1 else ''}"
    million = records / 1e6
    row(f"produce, {what}", "M records/s", *both(results, 0, lambda s: million / s), True,
        ">= Kafka")
    row("  CPU of the broker", "s a million", *both(results, 1, lambda s: s / million), False,
        "<= 1/5 of Kafka")
    row(f"consume, {what}", "M records/s", *both(results, 2, lambda s: million / s), True,
        ">= Kafka")
    row("  CPU of the broker", "s a million", *both(results, 3, lambda s: s / million), False,
        "<= 1/5 of Kafka")


def latencies(brokers, rounds, seconds):
    def measure(broker, turn):
        broker.load("make", f"late-{turn}")
        broker.load("produce", f"late-{turn}", 1, 8, 1)  # connections, first files
        return broker.load("latency", f"late-{turn}", 1000, seconds)
    results = by_turns(brokers, rounds, measure)
    for column, name in enumerate(("p50", "p99", "p99.9")):
        row(f"produce to consume at 1,000 records/s, {name}", "ms", *both(results, column), False,
            "p99 < 2 ms" if column == 1 else None)


def transactions(brokers, rounds, count):
    for records in (1, 100):
        def measure(broker, turn, records=records):
            broker.load("make", f"txn-{records}-{turn}")
            return broker.load("transactions", f"txn-{records}-{turn}", count, records)
        results = by_turns(brokers, rounds, measure)
        row(f"transactions of {records} record{'s' if records > 1 else ''}", "1/s",
            *both(results, 0, lambda s: count / s), True, ">= Kafka")


def starts(brokers, rounds, megabytes):
    """Killed with a log of so many megabytes; until it answers for the topic again."""
    for broker in brokers:
        broker.load("make", "big")
        broker.load("produce", "big", megabytes * 1000, 1024, 1)

    def measure(broker, turn):
        del turn
        broker.kill()
        start = broker.launch()
        broker.load("ready", "big")
        return (time.monotonic() - start,)
    results = by_turns(brokers, rounds, measure)
    row(f"from kill -9 to the first answer, {megabytes} MB log", "s", *both(results, 0), False,
        "< 2 s")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rounds = 1 if options.quick else options.rounds
    scale = 0.01 if options.quick else 1
    work = tempfile.mkdtemp(prefix="weir-bench-")
    brokers = []
    try:
        start = time.monotonic()
        weir = Weir(os.path.join(work, "weir"))
        row("start of a new broker", "s", time.monotonic() - start, None, False, "< 0.05 s")
        brokers.append(weir)
        if options.quick:
            print("without Apache Kafka: --quick")
        else:
            try:
                brokers.append(Kafka(os.path.join(work, "kafka")))
            except RuntimeError as error:
                print(f"without Apache Kafka: {error}")
        print(f"{'':<52} {'weir':>12} {'Apache Kafka':>12}")
        time.sleep(0 if options.quick else 5)
        memory = {broker.name: [broker.memory_mb()] for broker in brokers}
        row("memory, idle", "MB", *both(memory, 0), False, "< 16 MB")
        rates(brokers, rounds, int(2000000 * scale), 100, 1)
        rates(brokers, rounds, int(2000000 * scale), 100, 8)
        rates(brokers, rounds, int(500000 * scale), 1024, 1)
        memory = {broker.name: [broker.memory_mb()] for broker in brokers}
        row("memory, after these loads", "MB", *both(memory, 0), False)
        latencies(brokers, min(rounds, 3), 1 if options.quick else 8)
        transactions(brokers, min(rounds, 3), int(1000 * scale) + 10)
        starts(brokers, min(rounds, 3), int(1000 * scale) + 1)
        flushed = Weir(os.path.join(work, "flushed"), "every")
        brokers.append(flushed)
        for producers in (1, 8, 64):
            flushed.load("make", f"flushed-{producers}")
            seconds = flushed.load("produce", f"flushed-{producers}", int(200000 * scale) + 64, 100,
                                   producers)[0]
            row(f"produce with flush=every, {producers} producers", "M records/s",
                (int(200000 * scale) + 64) / 1e6 / seconds, None, True)
    finally:
        for broker in brokers:
            broker.stop()
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
