"""Each rule of check.py finds its fault, and none in a history without one."""
import check


def sound():
    """A small history that breaks no rule."""
    events = [
        {"op": "send", "id": "p.1-0", "topic": "plain", "partition": 0},
        {"op": "send", "id": "p.1-1", "topic": "plain", "partition": 0},
        {"op": "send", "id": "p.1-2", "topic": "plain", "partition": 0},
        {"op": "acked", "id": "p.1-0", "offset": 0},
        {"op": "acked", "id": "p.1-1", "offset": 1},
        {"op": "begin", "txn": "t.1/0"},
        {"op": "send", "txn": "t.1/0", "id": "t.1-0", "topic": "txn", "partition": 0},
        {"op": "send", "txn": "t.1/0", "id": "t.1-1", "topic": "txn", "partition": 1},
        {"op": "committing", "txn": "t.1/0"},
        {"op": "committed", "txn": "t.1/0"},
        {"op": "send", "txn": "t.1/1", "id": "t.1-2", "topic": "txn", "partition": 0},
        {"op": "aborting", "txn": "t.1/1"},
        {"op": "aborted", "txn": "t.1/1"},
        {"op": "send", "txn": "t.2/0", "id": "t.2-0", "topic": "txn", "partition": 0},
        {"op": "committing", "txn": "t.2/0"},
        {"op": "send", "txn": "t.3/0", "id": "t.3-0", "topic": "txn", "partition": 0},
        {"op": "read", "topic": "txn", "partition": 0, "offset": 0, "id": "t.1-0"},
        {"op": "taken", "group": "g", "topic": "plain", "partition": 0, "offset": 0},
        {"op": "commit", "group": "g", "topic": "plain", "partition": 0, "offset": 1},
        {"op": "reached", "group": "g", "topic": "plain", "partition": 0, "offset": 1},
        {"op": "taken", "group": "g", "topic": "plain", "partition": 0, "offset": 1},
        {"op": "commit", "group": "g", "topic": "plain", "partition": 0, "offset": 2},
        {"op": "reached", "group": "g", "topic": "plain", "partition": 0, "offset": 2},
        {"op": "put", "key": "k", "version": 0, "partition": 0},
        {"op": "kept", "key": "k", "version": 0},
        {"op": "put", "key": "k", "version": 1, "partition": 0},
    ]
    for at, event in enumerate(events):
        event.setdefault("who", "w.1")
        event["at"] = at
    finals = {
        "plain": views({0: [[0, "p.1-0"], [1, "p.1-1"]]}),
        "txn": {"all": {0: [[0, "t.1-0"], [2, "t.1-2"], [4, "t.2-0"], [6, "t.3-0"]],
                        1: [[0, "t.1-1"]]},
                "committed": {0: [[0, "t.1-0"], [4, "t.2-0"]], 1: [[0, "t.1-1"]]}},
        "out": views({0: [[0, "t.1-0"], [1, "t.2-0"]], 1: [[0, "t.1-1"]]}),
        "table": views({0: [[1, "k=1"]]}),
    }
    return events, finals


def views(partitions):
    return {"all": partitions, "committed": partitions}


def lose_an_acknowledged_record(events, finals):
    finals["plain"] = views({0: [[0, "p.1-0"]]})
    finals["plain"]["committed"] = {}


def move_an_acknowledged_record(events, finals):
    finals["plain"] = views({0: [[0, "p.1-0"], [2, "p.1-1"]]})


def double_an_unacknowledged_record(events, finals):
    finals["plain"]["all"][0] += [[2, "p.1-2"], [3, "p.1-2"]]


def invent_a_record(events, finals):
    finals["plain"]["all"][0].append([2, "p.9-0"])


def exchange_two_records(events, finals):
    finals["plain"]["all"][0][:] = [[0, "p.1-1"], [1, "p.1-0"]]


def lose_a_part_of_a_commit(events, finals):
    finals["txn"]["committed"][1] = finals["out"]["committed"][1] = []


def show_an_aborted_record(events, finals):
    finals["txn"]["committed"][0].insert(1, [2, "t.1-2"])


def show_a_transaction_nobody_ended(events, finals):
    finals["txn"]["committed"][0].append([6, "t.3-0"])


def show_a_part_of_an_unfinished_commit(events, finals):
    events.insert(0, {"op": "send", "txn": "t.2/0", "id": "t.2-1", "topic": "txn", "partition": 1,
                      "who": "w.1", "at": -1})


def read_an_aborted_record(events, finals):
    events.append({"op": "read", "who": "f.1", "at": 99, "topic": "txn", "partition": 0,
                   "offset": 2, "id": "t.1-2"})


def read_backwards(events, finals):
    events.append({"op": "read", "who": "w.1", "at": 99, "topic": "txn", "partition": 0,
                   "offset": 0, "id": "t.1-0"})


def commit_backwards(events, finals):
    for at, op in ((97, "commit"), (98, "reached")):
        events.append({"op": op, "who": "z.1", "at": at, "group": "g", "topic": "plain",
                       "partition": 0, "offset": 1})


def skip_a_record(events, finals):
    events[:] = [e for e in events if e["op"] != "taken" or e["offset"] != 0]


def chain_a_record_twice(events, finals):
    finals["out"]["committed"][0].append([2, "t.2-0"])


def chain_loses_a_record(events, finals):
    finals["out"]["committed"][1] = []


def compact_too_much(events, finals):
    finals["table"] = views({0: []})


def compact_backwards(events, finals):
    finals["table"] = views({0: [[1, "k=1"], [2, "k=0"]]})


FAULTS = {
    lose_an_acknowledged_record: "acknowledged_records_are_there_once",
    move_an_acknowledged_record: "acknowledged_records_are_there_once",
    double_an_unacknowledged_record: "acknowledged_records_are_there_once",
    invent_a_record: "nothing_is_there_that_nobody_sent",
    exchange_two_records: "records_of_a_producer_are_in_order",
    lose_a_part_of_a_commit: "transactions_are_whole_or_not_there",
    show_an_aborted_record: "transactions_are_whole_or_not_there",
    show_a_transaction_nobody_ended: "transactions_are_whole_or_not_there",
    show_a_part_of_an_unfinished_commit: "transactions_are_whole_or_not_there",
    read_an_aborted_record: "followers_see_what_is_there",
    read_backwards: "followers_see_what_is_there",
    commit_backwards: "committed_offsets_never_go_back",
    skip_a_record: "groups_leave_nothing_out",
    chain_a_record_twice: "chains_are_exact",
    chain_loses_a_record: "chains_are_exact",
    compact_too_much: "newest_versions_are_kept",
    compact_backwards: "newest_versions_are_kept",
}


def run():
    assert check.find_faults(*sound()) == [], check.find_faults(*sound())
    for fault, rule in FAULTS.items():
        events, finals = sound()
        fault(events, finals)
        found = {name for name, _ in check.find_faults(events, finals)}
        assert rule in found, f"{fault.__name__}: {found} instead of {rule}"
    unproven = {rule.__name__ for rule in check.RULES} - set(FAULTS.values())
    assert not unproven, unproven
    print(f"{len(check.RULES)} rules, {len(FAULTS)} faults found")


if __name__ == "__main__":
    run()
