"""Clients of the history checker; run.py starts, kills and stops them.

usage: workers.py ROLE NAME INCARNATION ADDRESS LOG SEED

Each event is one write to the log, so that a process that is killed loses none. A client that gives
up ends, and run.py starts its next incarnation. SIGTERM: it finishes what it is at.
"""
import json
import os
import random
import signal
import sys
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

PARTITIONS = 3
SESSION_MS = 6000
TRANSACTION_MS = 10000


class Worker:
    def __init__(self, role, name, incarnation, address, log, seed):
        self.role, self.name, self.address = role, name, address
        self.who = f"{name}.{incarnation}"
        self.log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self.random = random.Random(f"{seed}/{self.who}")
        self.stopping = False
        signal.signal(signal.SIGTERM, self.stop)

    def stop(self, *_):
        self.stopping = True

    def note(self, op, **more):
        event = {"at": time.monotonic(), "who": self.who, "op": op, **more}
        os.write(self.log, (json.dumps(event) + "\n").encode())

    def producer(self, **more):
        return Producer({"bootstrap.servers": self.address, "linger.ms": 2,
                         "socket.timeout.ms": 10000, "reconnect.backoff.max.ms": 500,
                         "log_level": 0, **more})

    def consumer(self, group, **more):
        return Consumer({"bootstrap.servers": self.address, "group.id": group,
                         "enable.auto.commit": False, "auto.offset.reset": "earliest",
                         "session.timeout.ms": SESSION_MS, "heartbeat.interval.ms": 1000,
                         "isolation.level": "read_committed", "fetch.wait.max.ms": 100,
                         "reconnect.backoff.max.ms": 500, "log_level": 0, **more})


def produce(worker):
    """Idempotent; each record has a number in the order of its producer."""
    producer = worker.producer(**{"enable.idempotence": True, "delivery.timeout.ms": 30000})

    def delivered(error, message):
        if error is None:
            worker.note("acked", id=message.value().decode(), offset=message.offset())
        else:
            worker.stop()  # what comes behind a lost one must not be sent by this incarnation
    number = 0
    while not worker.stopping:
        name = f"{worker.who}-{number}"
        partition = worker.random.randrange(PARTITIONS)
        worker.note("send", id=name, topic="plain", partition=partition)
        producer.produce("plain", name.encode(), partition=partition, on_delivery=delivered)
        number += 1
        producer.poll(0.001)
        while len(producer) > 50 and not worker.stopping:
            producer.poll(0.05)
    producer.flush(30)


def transact(worker):
    producer = worker.producer(**{"transactional.id": worker.name,
                                  "transaction.timeout.ms": TRANSACTION_MS})
    producer.init_transactions(60)
    number = 0
    for count in range(1 << 30):
        if worker.stopping:
            return
        txn = f"{worker.who}/{count}"
        worker.note("begin", txn=txn)
        producer.begin_transaction()
        for _ in range(worker.random.randrange(1, 20)):
            name = f"{worker.who}-{number}"
            partition = worker.random.randrange(PARTITIONS)
            worker.note("send", txn=txn, id=name, topic="txn", partition=partition)
            producer.produce("txn", name.encode(), partition=partition)
            number += 1
        if worker.random.random() < 0.2:
            time.sleep(worker.random.random() / 5)
        if worker.random.random() < 0.25:
            worker.note("aborting", txn=txn)
            producer.abort_transaction(60)
            worker.note("aborted", txn=txn)
        else:
            worker.note("committing", txn=txn)
            producer.commit_transaction(60)
            worker.note("committed", txn=txn)


def follow(worker):
    """Reads all that is committed, from the beginning, and keeps nothing."""
    consumer = worker.consumer("follow-" + worker.who)
    consumer.assign([TopicPartition("txn", p, 0) for p in range(PARTITIONS)])
    while not worker.stopping:
        message = consumer.poll(0.2)
        if message is not None and message.error() is None:
            worker.note("read", topic="txn", partition=message.partition(),
                        offset=message.offset(), id=message.value().decode())
    consumer.close()


def member(worker):
    """Of a group; it commits now and then, and what it has at a rebalance."""
    group = "sticky" if worker.name.startswith("sticky") else "members"
    consumer = worker.consumer(group, **{"partition.assignment.strategy": "cooperative-sticky"
                                         if group == "sticky" else "range"})
    ends = {}

    def commit():
        offsets = [TopicPartition("plain", p, end) for p, end in ends.items()]
        ends.clear()
        if not offsets:
            return
        for each in offsets:
            worker.note("commit", group=group, topic="plain", partition=each.partition,
                        offset=each.offset)
        try:
            done = consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException:
            return
        for each in done or []:
            if each.error is None:
                worker.note("reached", group=group, topic="plain", partition=each.partition,
                            offset=each.offset)

    def revoked(_, partitions):
        commit()
        if group == "sticky":
            consumer.incremental_unassign(partitions)

    def lost(_, partitions):
        ends.clear()
        if group == "sticky":
            consumer.incremental_unassign(partitions)
    consumer.subscribe(["plain"], on_revoke=revoked, on_lost=lost)
    while not worker.stopping:
        message = consumer.poll(0.2)
        if message is not None and message.error() is None:
            worker.note("taken", group=group, topic="plain", partition=message.partition(),
                        offset=message.offset())
            ends[message.partition()] = message.offset() + 1
        if worker.random.random() < 0.02:
            commit()
    commit()
    consumer.close()


def chain(worker):
    """Consumes `txn`, produces `out`, both in one transaction; several members share the work."""
    producer = worker.producer(**{"transactional.id": worker.name,
                                  "transaction.timeout.ms": TRANSACTION_MS})
    producer.init_transactions(60)
    consumer = worker.consumer("chain")
    rebalanced = []
    consumer.subscribe(["txn"], on_assign=lambda *_: rebalanced.append(1),
                       on_revoke=lambda *_: rebalanced.append(1),
                       on_lost=lambda *_: rebalanced.append(1))
    while not worker.stopping:
        messages, until = [], time.monotonic() + worker.random.random() / 2
        while len(messages) < 50 and time.monotonic() < until:
            message = consumer.poll(0.05)
            if rebalanced:  # what was read before is read again, from the committed offset
                rebalanced.clear()
                messages = []
            if message is not None and message.error() is None:
                messages.append(message)
        if not messages:
            continue
        producer.begin_transaction()
        for message in messages:
            producer.produce("out", message.value(), partition=message.partition())
        ends = {m.partition(): m.offset() + 1 for m in messages}
        offsets = [TopicPartition("txn", p, end) for p, end in ends.items()]
        producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata(), 30)
        producer.commit_transaction(60)
    consumer.close()


def put(worker):
    """Versions of keys, to a compacted topic; a key belongs to one worker."""
    producer = worker.producer(**{"enable.idempotence": True})
    clock = time.time_ns()  # so that a new incarnation goes on behind the last one

    def delivered(error, message):
        if error is None:
            key, version = message.value().decode().split("=")
            worker.note("kept", key=key, version=int(version))
        else:
            worker.stop()
    while not worker.stopping:
        key = f"{worker.name}k{worker.random.randrange(8)}"
        version = time.time_ns() if time.time_ns() > clock else clock + 1
        clock = version
        worker.note("put", key=key, version=version, partition=0)
        producer.produce("table", f"{key}={version}".encode(), key.encode(), partition=0,
                         on_delivery=delivered)
        producer.poll(0)
        while len(producer) > 20 and not worker.stopping:
            producer.poll(0.05)
        time.sleep(0.002)
    producer.flush(30)


ROLES = {"producer": produce, "transactor": transact, "follower": follow, "member": member,
         "sticky": member, "chain": chain, "keeper": put}

if __name__ == "__main__":
    one = Worker(*sys.argv[1:])
    try:
        ROLES[one.role](one)
    except KafkaException as exception:
        one.note("gave_up", why=str(exception))
        sys.exit(3)
