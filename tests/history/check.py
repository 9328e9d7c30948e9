"""What a history of clients may look like: rules over what they logged and what lies in the topics.

A history is a list of events, each a dictionary with "at" (seconds, the machine's monotonic clock),
"who" (a worker's incarnation, such as "producer-1.3") and "op":

  send       id, topic, partition                a record was handed to the client
  acked      id, offset                          the broker has taken it
  begin      txn, ids come by send with txn      a transaction begins
  committing txn | aborting txn                  its end was asked for
  committed  txn | aborted txn                   and came
  read       topic, partition, offset, id        by a follower that reads what is committed
  commit     group, topic, partition, offset     a group's offset is about to be committed
  reached    group, topic, partition, offset     it was
  put        key, version, partition             to the compacted topic
  kept       key, version                        acknowledged
  taken      group, topic, partition, offset     a member of a group has read it

`finals` has what each topic holds in the end, as [offset, id] lists by partition: "all" and, for
what consumers with read_committed see, "committed".

Each rule yields sentences, one for each fault. Nothing here talks to a broker.
"""


def find_faults(events, finals):
    """All faults, as (rule, sentence)."""
    faults = []
    for rule in RULES:
        faults += [(rule.__name__, sentence) for sentence in rule(events, finals)]
    return faults


# ---- helpers

def by_id(partitions):
    """id -> [(partition, offset)] of what a topic holds."""
    places = {}
    for partition, records in partitions.items():
        for offset, name in records:
            places.setdefault(name, []).append((partition, offset))
    return places


def plain_sends(events):
    return [e for e in events if e["op"] == "send" and "txn" not in e]


def transactions(events):
    """txn -> what is known of it: ids, topic, and how it ended."""
    found = {}
    for event in events:
        if "txn" not in event:
            continue
        txn = found.setdefault(event["txn"], {"ids": [], "end": "open", "who": event["who"]})
        if event["op"] == "send":
            txn["ids"].append(event["id"])
            txn["topic"] = event["topic"]
        elif event["op"] in ("committing", "committed", "aborting", "aborted"):
            txn["end"] = event["op"]
    return found


def number_of(name):
    """The last part of an id is its number in the order of its producer."""
    return int(name.rsplit("-", 1)[1])


# ---- rules

def acknowledged_records_are_there_once(events, finals):
    """At the offset that the broker named."""
    sends = {e["id"]: e for e in plain_sends(events)}
    acked = {e["id"]: e["offset"] for e in events if e["op"] == "acked"}
    for topic in sorted({e["topic"] for e in sends.values()}):
        places = by_id(finals[topic]["all"])
        for name, send in sends.items():
            if send["topic"] != topic:
                continue
            found = places.get(name, [])
            if name in acked and found != [(send["partition"], acked[name])]:
                yield (f"{name} was acknowledged at offset {acked[name]} of {topic}-"
                       f"{send['partition']}, and is at {found}")
            elif len(found) > 1:
                yield f"{name} is there {len(found)} times: {found}"


def nothing_is_there_that_nobody_sent(events, finals):
    sent = {e["id"] for e in events if e["op"] == "send"}
    sent |= {f"{e['key']}={e['version']}" for e in events if e["op"] == "put"}
    for topic, views in finals.items():
        for name in by_id(views["all"]):
            if name not in sent:
                yield f"{name} is in {topic}, and was never sent"


def records_of_a_producer_are_in_order(events, finals):
    del events
    for topic, views in finals.items():
        if topic in ("table", "out"):  # chains_are_exact compares the order of `out`
            continue
        for partition, records in views["all"].items():
            last = {}
            for offset, name in records:
                producer = name.rsplit("-", 1)[0]
                if last.get(producer, -1) >= number_of(name):
                    yield f"{name} comes behind {producer}-{last[producer]} at " \
                          f"{topic}-{partition} offset {offset}"
                last[producer] = number_of(name)


def transactions_are_whole_or_not_there(events, finals):
    """Committed ones are there once, aborted ones not, unfinished ones as a whole or not at all."""
    there = {topic: by_id(views["committed"]) for topic, views in finals.items()}
    for txn, known in transactions(events).items():
        if "topic" not in known:
            continue
        places = there[known["topic"]]
        counts = [len(places.get(name, [])) for name in known["ids"]]
        if known["end"] == "committed" and any(count != 1 for count in counts):
            yield f"{txn} was committed, and its records are there {counts} times"
        elif known["end"] in ("aborted", "aborting", "open") and any(counts):
            yield f"{txn} was {known['end']}, and its records are there {counts} times"
        elif known["end"] == "committing" and (max(counts, default=0) > 1 or len(set(counts)) > 1):
            yield f"{txn} was about to be committed, and its records are there {counts} times"


def followers_see_what_is_there(events, finals):
    """In order, and never a record that is not committed in the end."""
    last = {}
    there = {(topic, partition): dict(records) for topic, views in finals.items()
             for partition, records in views["committed"].items()}
    for event in events:
        if event["op"] != "read":
            continue
        place = (event["who"], event["topic"], event["partition"])
        if last.get(place, -1) >= event["offset"]:
            yield f"{event['who']} read offset {event['offset']} of {event['topic']}-" \
                  f"{event['partition']} behind {last[place]}"
        last[place] = event["offset"]
        found = there.get((event["topic"], event["partition"]), {}).get(event["offset"])
        if found != event["id"]:
            yield f"{event['who']} read {event['id']} at {event['topic']}-{event['partition']} " \
                  f"offset {event['offset']}; there is {found}"


def committed_offsets_never_go_back(events, finals):
    """A commit that begins when another one is done does not name a smaller offset."""
    del finals
    done = {}  # of what is surely committed: the largest
    begun = {}
    for event in sorted(events, key=lambda e: e["at"]):
        if event["op"] == "commit":
            place = (event["group"], event["topic"], event["partition"])
            begun[(event["who"], place, event["offset"])] = done.get(place, (-1, ""))
        elif event["op"] == "reached":
            place = (event["group"], event["topic"], event["partition"])
            before = begun.get((event["who"], place, event["offset"]), (-1, ""))
            if before[0] > event["offset"]:
                yield f"{event['who']} has committed {event['offset']} of {place}, after " \
                      f"{before[1]} had committed {before[0]}"
            if event["offset"] > done.get(place, (-1, ""))[0]:
                done[place] = (event["offset"], event["who"])


def groups_leave_nothing_out(events, finals):
    """What lies before a group's committed offset was read by one of its members before."""
    read = {}
    for event in events:
        if event["op"] == "taken":
            place = (event["group"], event["topic"], event["partition"])
            read.setdefault(place, set()).add(event["offset"])
    committed = {}
    for event in events:
        if event["op"] == "reached":
            place = (event["group"], event["topic"], event["partition"])
            committed[place] = max(committed.get(place, 0), event["offset"])
    for place, end in sorted(committed.items()):
        group, topic, partition = place
        for offset, name in finals[topic]["committed"].get(partition, []):
            if offset < end and offset not in read.get(place, ()):
                yield f"{name} at {topic}-{partition} offset {offset} was read by nobody of " \
                      f"{group}, and {end} is committed"


def chains_are_exact(events, finals):
    """Consume, transform, produce: each committed record of `txn` is once in `out`, in order."""
    del events
    if "out" not in finals:
        return
    for partition, records in finals["txn"]["committed"].items():
        wanted = [name for _, name in records]
        got = [name for _, name in finals["out"]["committed"].get(partition, [])]
        if wanted != got:
            missing, more = set(wanted) - set(got), len(got) - len(set(got))
            yield f"out-{partition} has {len(got)} records for {len(wanted)}: {len(missing)} are " \
                  f"missing ({sorted(missing)[:3]}), {more} are there more than once"


def newest_versions_are_kept(events, finals):
    """Of each key of the compacted topic the last acknowledged version or a later one."""
    if "table" not in finals:
        return
    last = {}
    for event in events:
        if event["op"] == "kept":
            last[event["key"]] = max(last.get(event["key"], -1), event["version"])
    newest = {}
    for records in finals["table"]["all"].values():
        for _, name in records:
            key, version = name.split("=")
            if int(version) < newest.get(key, -1):
                yield f"{key} has version {version} behind {newest[key]}"
            newest[key] = int(version)
    for key, version in sorted(last.items()):
        if newest.get(key, -1) < version:
            yield f"{key} has version {newest.get(key)}, and {version} was acknowledged"


RULES = [
    acknowledged_records_are_there_once,
    nothing_is_there_that_nobody_sent,
    records_of_a_producer_are_in_order,
    transactions_are_whole_or_not_there,
    followers_see_what_is_there,
    committed_offsets_never_go_back,
    groups_leave_nothing_out,
    chains_are_exact,
    newest_versions_are_kept,
]
