#!/usr/bin/env python3
"""The history checker: clients of every kind under random kills and stops of the broker and of
themselves; then check.py says whether anything was lost, doubled, moved or shown too early.

usage: run.py [--seconds 20] [--seed N] [--kafka]

All choices come from the seed, which is printed; what the machine does between them does not. With
--kafka it is Apache Kafka that is tried: there must be no fault either, or the checker is wrong.
WEIR_BIN is the program. After a fault the histories are kept, and the place is printed.
"""
import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

try:
    from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
    from confluent_kafka.admin import AdminClient, NewTopic
except ImportError:
    print("python3-confluent-kafka is missing: run scripts/deps test")
    sys.exit(77)

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)
import check  # noqa: E402  pylint: disable=wrong-import-position

PARTITIONS = 3
CREW = {"producer": 3, "transactor": 3, "follower": 2, "member": 2, "sticky": 2, "chain": 2,
        "keeper": 1}
TABLE = {"cleanup.policy": "compact", "segment.ms": "2000", "min.cleanable.dirty.ratio": "0.01"}


# ---- the brokers

class Weir:
    name = "weir"

    def __init__(self, work):
        self.work, self.address = work, "127.0.0.1:0"
        with open(os.path.join(work, "broker.properties"), "w", encoding="ascii") as file:
            file.write("log.cleaner.backoff.ms=500\ngroup.initial.rebalance.delay.ms=500\n")
        self.start()

    def start(self):
        with open(os.path.join(self.work, "broker.err"), "a", encoding="ascii") as errors:
            self.process = subprocess.Popen(
                [os.environ["WEIR_BIN"], "broker", "--listen", self.address, "--data-dir",
                 os.path.join(self.work, "broker"), "--config",
                 os.path.join(self.work, "broker.properties")],
                stdout=subprocess.PIPE, stderr=errors, text=True)
        line = self.process.stdout.readline()
        if not line.startswith("broker at "):
            raise RuntimeError(f"the broker did not start: {line}")
        self.address = line.split()[2].rstrip(",")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def signal(self, number):
        self.process.send_signal(number)


class Kafka:
    name = "kafka"

    def __init__(self, work):
        directory = os.path.join(work, "kafka")
        result = subprocess.run(
            [os.path.join(SOURCE, "scripts/kafka-server"), "start", "--dir", directory, "--port",
             str(random.SystemRandom().randrange(20000, 30000))], stdout=subprocess.PIPE, text=True,
            check=False)
        if result.returncode == 77:
            print("Apache Kafka could not be fetched, or java is missing")
            sys.exit(77)
        self.address = result.stdout.strip()
        with open(os.path.join(directory, "pid"), encoding="ascii") as file:
            self.pid = int(file.read())
        with open(f"/proc/{self.pid}/cmdline", encoding="utf-8") as file:
            self.command = file.read().rstrip("\0").split("\0")
        self.process = None

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        self.pid = self.process.pid

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        if self.process:
            self.process.wait()
        while os.path.exists(f"/proc/{self.pid}"):
            time.sleep(0.02)

    def signal(self, number):
        os.kill(self.pid, number)


# ---- the crew

class Crew:
    """Workers by name; one that has ended is followed by its next incarnation."""

    def __init__(self, work, address, seed):
        self.work, self.address, self.seed = work, address, seed
        self.workers, self.incarnations, self.zombies = {}, {}, []
        self.hiring = True
        for role, count in CREW.items():
            for number in range(count):
                self.hire(role, f"{role}-{number}")

    def hire(self, role, name):
        incarnation = self.incarnations[name] = self.incarnations.get(name, 0) + 1
        log = os.path.join(self.work, f"{name}.jsonl")
        process = subprocess.Popen(
            [sys.executable, os.path.join(HERE, "workers.py"), role, name, str(incarnation),
             self.address, log, str(self.seed)], stderr=open(os.path.join(self.work, "crew.err"),
                                                             "a", encoding="utf-8"))
        self.workers[name] = (role, process)

    def look(self):
        for name, (role, process) in list(self.workers.items()):
            if self.hiring and process.poll() is not None:
                self.hire(role, name)
        self.zombies = [z for z in self.zombies if z.poll() is None]

    def replace(self, name):
        """A new incarnation while the old one only sleeps: it wakes as a zombie."""
        role, process = self.workers[name]
        process.send_signal(signal.SIGSTOP)
        self.zombies.append(process)
        self.hire(role, name)
        return process

    def let_go(self, roles, seconds):
        """They finish; who does not in time is killed."""
        self.hiring = False
        mine = [p for _, (role, p) in self.workers.items() if role in roles]
        for process in mine:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        until = time.monotonic() + seconds
        for process in mine:
            try:
                process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def kill_all(self):
        for process in [p for _, p in self.workers.values()] + self.zombies:
            if process.poll() is None:
                process.kill()
                process.wait()


# ---- what happens to them

class Nemesis:
    def __init__(self, broker, crew, seed):
        self.broker, self.crew = broker, crew
        self.random = random.Random(seed)
        self.counts = {}
        self.later = []  # (when, what)

    def after(self, seconds, what):
        self.later.append((time.monotonic() + seconds, what))

    def due(self):
        now = time.monotonic()
        ready = [what for when, what in self.later if when <= now]
        self.later = [(when, what) for when, what in self.later if when > now]
        for what in ready:
            what()

    def settle(self):
        for _, what in self.later:
            what()
        self.later = []

    def strike(self):
        name = self.random.choices(
            ["broker killed", "broker stopped", "client killed", "client stopped",
             "client doubled"], [2, 1, 4, 3, 2])[0]
        if name.startswith("broker") and any(what == self.broker_back for _, what in self.later):
            return
        self.counts[name] = self.counts.get(name, 0) + 1
        getattr(self, name.replace(" ", "_"))()

    def broker_back(self):
        self.broker.signal(signal.SIGCONT)

    def broker_killed(self):
        self.broker.kill()
        time.sleep(self.random.random())
        self.broker.start()

    def broker_stopped(self):
        self.broker.signal(signal.SIGSTOP)
        self.after(self.random.uniform(0.2, 3), self.broker_back)

    def any_client(self, roles=None):
        names = sorted(n for n, (role, p) in self.crew.workers.items()
                       if (roles is None or role in roles) and p.poll() is None)
        return self.random.choice(names) if names else None

    def client_killed(self):
        name = self.any_client()
        if name:
            self.crew.workers[name][1].kill()

    def client_stopped(self):
        name = self.any_client()
        if name:
            process = self.crew.workers[name][1]
            process.send_signal(signal.SIGSTOP)
            self.after(self.random.uniform(0.5, 9), lambda: process.send_signal(signal.SIGCONT))

    def client_doubled(self):
        name = self.any_client(("transactor", "chain"))
        if name:
            process = self.crew.replace(name)
            self.after(self.random.uniform(0.5, 5), lambda: process.send_signal(signal.SIGCONT))


# ---- the end of it

def make_topics(address):
    admin = AdminClient({"bootstrap.servers": address})
    topics = [NewTopic(name, PARTITIONS, 1) for name in ("plain", "txn", "out")]
    topics.append(NewTopic("table", 1, 1, config=TABLE))
    for future in admin.create_topics(topics).values():
        future.result(60)


def fence(address, names):
    """What their last incarnations left open is aborted."""
    for name in names:
        for attempt in range(10):
            try:
                Producer({"bootstrap.servers": address, "transactional.id": name,
                          "log_level": 0}).init_transactions(30)
                break
            except KafkaException:
                if attempt == 9:
                    raise


def ends_of(consumer, topic, partitions):
    return {p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=30)[1]
            for p in range(partitions)}


def drain_chain(address, seconds):
    """Waits until the chain's group has come to the end of `txn`."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": "chain", "log_level": 0})
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        ends = ends_of(consumer, "txn", PARTITIONS)
        places = consumer.committed([TopicPartition("txn", p) for p in range(PARTITIONS)], 30)
        left = {p.partition: records_from(address, p.partition, max(p.offset, 0))
                for p in places if p.offset < ends[p.partition]}
        if not any(left.values()):
            consumer.close()
            return True
        time.sleep(0.5)
    consumer.close()
    return False


def records_from(address, partition, offset):
    return bool(read(address, "txn", partition, offset, "read_committed"))


def read(address, topic, partition, offset, isolation):
    """[offset, id] of all records from an offset to the end."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": "reader", "log_level": 0,
                         "isolation.level": isolation, "enable.partition.eof": True,
                         "enable.auto.commit": False, "check.crcs": True})
    consumer.assign([TopicPartition(topic, partition, offset)])
    records = []
    while True:
        message = consumer.poll(30)
        if message is None:
            raise RuntimeError(f"{topic}-{partition}: nothing comes, not even its end")
        if message.error() is not None:
            consumer.close()
            return records
        records.append([message.offset(), message.value().decode()])


def read_finals(address):
    finals = {}
    for topic in ("plain", "txn", "out", "table"):
        partitions = 1 if topic == "table" else PARTITIONS
        finals[topic] = {
            view: {p: read(address, topic, p, 0, isolation) for p in range(partitions)}
            for view, isolation in (("all", "read_uncommitted"), ("committed", "read_committed"))}
    return finals


def read_events(work):
    events = []
    for name in sorted(os.listdir(work)):
        if name.endswith(".jsonl"):
            with open(os.path.join(work, name), encoding="ascii") as file:
                events += [json.loads(line) for line in file if line.endswith("\n")]
    return events


def report(events, finals, nemesis, crew, faults):
    counts = {}
    for event in events:
        counts[event["op"]] = counts.get(event["op"], 0) + 1
    print("events     " + ", ".join(f"{counts[op]} {op}" for op in sorted(counts)))
    struck = [f"{n} times {what}" for what, n in sorted(nemesis.counts.items())]
    print("nemesis    " + ", ".join(struck)
          + f"; {sum(crew.incarnations.values())} incarnations of {len(crew.incarnations)} clients")
    print("in the end " + ", ".join(
        f"{sum(map(len, views['committed'].values()))} records in {topic}"
        for topic, views in finals.items()))
    print(f"faults     {len(faults)}")
    for rule, sentence in faults[:20]:
        print(f"  {rule}: {sentence}")


def run(options, work):
    broker = (Kafka if options.kafka else Weir)(work)
    make_topics(broker.address)
    crew = Crew(work, broker.address, options.seed)
    nemesis = Nemesis(broker, crew, options.seed)
    try:
        until = time.monotonic() + options.seconds
        next_strike = time.monotonic() + 3
        while time.monotonic() < until:
            nemesis.due()
            crew.look()
            if time.monotonic() >= next_strike:
                nemesis.strike()
                next_strike = time.monotonic() + nemesis.random.uniform(0.3, 2)
            time.sleep(0.05)
        nemesis.settle()
        crew.let_go(("producer", "transactor", "keeper", "member", "sticky"), 60)
        fence(broker.address, [n for n in crew.incarnations if n.startswith("transactor")])
        crew.let_go(("chain",), 30)
        for zombie in crew.zombies:
            zombie.wait(60)
        fence(broker.address, [n for n in crew.incarnations if n.startswith("chain")])
        crew.hire("chain", "chain-0")
        drained = drain_chain(broker.address, 60)
        crew.let_go(("chain", "follower"), 30)
        events, finals = read_events(work), read_finals(broker.address)
    finally:
        crew.kill_all()
        broker.kill()
    faults = check.find_faults(events, finals)
    if not drained:
        faults.append(("run", "the chain did not come to the end of txn within 60 s"))
    report(events, finals, nemesis, crew, faults)
    return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31))
    parser.add_argument("--kafka", action="store_true")
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.seconds:g} s, "
          f"{'Apache Kafka' if options.kafka else 'weir broker'}", flush=True)
    work = tempfile.mkdtemp(prefix="weir-history-")
    faults = run(options, work)
    if faults:
        print(f"the histories are kept in {work}")
        return 1
    shutil.rmtree(work)
    return 0


if __name__ == "__main__":
    sys.exit(main())
