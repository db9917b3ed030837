#!/usr/bin/env python3
"""The audit trail: one record a change, a chain over restarts, and its oldest taken out."""
import contextlib
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import tempfile
import time

from lab import KEY, METHODS, ask, lines, run, trail


def each_change_is_one_record_of_the_audit_trail(hub):
    """Every operation that methods.json says changes something, once refused and once done."""
    with open(METHODS, encoding="utf-8") as file:
        changes = {m["name"] for m in json.load(file)["methods"] if m.get("changes") == "always"}
    other = "5Db9DsMWOLC6b7v5Jr1wpnSYFdZSLFUmmIDjyB0u0mE="
    policy = {"name": "policy.conf", "text": "grants: ();\n"}
    steps = [  # operation, what is refused, what is done, what its record is about, and says
        ("peer.add", {"name": "laptop", "public_key": "x"}, {"name": "laptop", "public_key": KEY}, "laptop", KEY),
        ("peer.approve", {"name": "nobody", "networks": ["10.9.0.0/24"]}, {"name": "laptop", "networks": ["10.9.0.0/24"]}, "laptop", "networks=10.9.0.0/24"),
        ("peer.withdraw", {"name": "laptop", "networks": ["10.8.0.0/24"]}, {"name": "laptop", "networks": ["10.9.0.0/24"]}, "laptop", "networks=10.9.0.0/24"),
        ("peer.disable", {"name": "nobody"}, {"name": "laptop"}, "laptop", " disabled"),
        ("peer.enable", {"name": "nobody"}, {"name": "laptop"}, "laptop", "changed"),
        ("peer.set", {"name": "nobody", "expected_up": True}, {"name": "laptop", "expected_up": "yes"}, "laptop", " expected-up"),
        ("peer.rotate", {"name": "laptop"}, {"name": "laptop", "next_key": other}, "laptop", f"proposed next-key={other}"),
        ("hub.rotate", {"confirm": True}, {"overlap": 600}, "hub", "next-key="),
        ("peer.limit", {"name": "nobody", "rx_bytes": "1M"}, {"name": "laptop", "quota": "1G"}, "laptop", "quota=1G"),
        ("quota.reset", {"name": "nobody"}, {"name": "laptop"}, "laptop", ""),
        ("service.add", {"name": "blog", "host": "blog.example.org", "target": "nobody:80"}, {"name": "blog", "host": "blog.example.org", "target": "laptop:80"}, "blog", "host=blog.example.org target=laptop:80"),
        ("service.remove", {"name": "none"}, {"name": "blog"}, "blog", ""),
        ("group.add", {"name": "staff", "members": ["nobody"]}, {"name": "staff", "members": ["laptop"]}, "staff", "members=laptop"),
        ("group.member", {"name": "none", "add": ["laptop"]}, {"name": "staff", "add": ["branch"]}, "staff", "add=branch"),
        ("grant.add", {"name": "ssh", "who": "group:none", "to": "hub", "protocol": "tcp", "ports": ["22"]}, {"name": "ssh", "who": "group:staff", "to": "hub", "protocol": "tcp", "ports": ["22"]}, "ssh", "who=group:staff to=hub"),
        ("grant.remove", {"name": "none"}, {"name": "ssh"}, "ssh", "removed"),
        ("group.remove", {"name": "none"}, {"name": "staff"}, "staff", "removed"),
        ("policy.apply", {"file": {"name": "bad", "text": "("}}, {"file": policy}, "policy.conf", "sha256=" + hashlib.sha256(policy["text"].encode()).hexdigest()),
        ("block.add", {"prefix": "0.0.0.0/0"}, {"prefix": "192.0.2.0/24", "reason": "a scan"}, "192.0.2.0/24", 'reason="a scan"'),
        ("block.remove", {"prefix": "198.51.100.1"}, {"prefix": "192.0.2.0/24"}, "192.0.2.0/24", ""),
        ("block.import", {"file": {"name": "list", "text": "x"}}, {"file": {"name": "list", "text": "192.0.2.1\n"}, "source": "feed"}, "feed", "file=list bytes=10"),
        ("block.clear", {"source": "none"}, {"source": "feed"}, "feed", ""),
        ("peer.remove", {"name": "nobody"}, {"name": "laptop"}, "laptop", "removed key="),
    ]
    assert changes - {step[0] for step in steps} == {"debug.route", "debug.peer", "audit.prune"}, changes  # the last has a test of its own
    assert [(r["actor"], r["operation"], r["object"]) for r in trail(hub)] == [("config", "config.peer", "peer branch")]
    n = 1
    with hub.connect() as client, lines(client) as reader:
        for operation, refused, done, about, says in steps:
            reply = ask(client, reader, {"method": operation, "params": refused})
            assert "error" in reply, (operation, reply)
            assert len(trail(hub)) == n, (operation, trail(hub)[n:])
            if operation.startswith(("group.", "grant.", "policy.")):
                reply = ask(client, reader, {"method": operation, "params": {**done, "dry_run": True}})
                assert "result" in reply and len(trail(hub)) == n, (operation, reply)
            reply = ask(client, reader, {"method": operation, "params": {**done, "why": f"ticket {n}"}})
            assert "result" in reply, (operation, reply)
            records = trail(hub)
            n += 1
            assert len(records) == n, (operation, records[n - 1:])
            last = records[-1]
            assert last["actor"] == f"uid={os.getuid()} pid={os.getpid()}" and last["operation"] == operation, last
            assert last["object"] == about and says in last["summary"] and last["comment"] == f"ticket {n - 1}", last
    assert n == len(steps) + 1
    # what only looks leaves nothing, and asking for a configuration only when that changes the peer
    for words in (("status",), ("peer", "list"), ("audit", "verify"), ("policy", "export"), ("peer", "config", "branch")):
        hub.ok(*words)
    assert len(trail(hub)) == n
    hub.ok("peer", "config", "branch", "--whole-subnet")
    assert len(trail(hub)) == n + 1


def the_oldest_records_are_taken_out_and_the_rest_is_verified(hub):
    for i in range(8):
        hub.ok("group", "add", f"g{i}", "--why", f"number {i}")
    first = trail(hub)
    hub.refused(2, "give either before or keep", "audit", "prune")
    hub.refused(1, "there are no records that old, or that many", "audit", "prune", "--before", first[0]["at"][:19] + "Z")
    assert len(trail(hub)) == len(first), "a refusal is a record"
    said = hub.json("audit", "prune", "--keep", "5", "--why", "small disk")
    assert said == {"taken_out": len(first) - 5, "sequence": first[-6]["sequence"], "hash": first[-6]["hash"]}, said
    left = trail(hub)
    assert left[:-1] == first[-5:] and left[-1]["operation"] == "audit.prune", left
    assert left[-1]["comment"] == "small disk" and said["hash"] in left[-1]["summary"], left[-1]
    assert left[0]["previous"] == said["hash"], left[0]
    assert f"records up to {said['sequence']} were taken out, the last with hash {said['hash']}" in hub.ok("audit", "verify")
    hub.restart()
    good = hub.json("audit", "verify")
    assert not good["failed"] and good["records"] == 6 and good["taken_out"]["sequence"] == said["sequence"], good
    assert good["taken_out"]["hash"] == said["hash"], good
    time.sleep(1.1)  # times of the command line are whole seconds
    hub.ok("group", "add", "last")
    hub.ok("audit", "prune", "--before", trail(hub, "--last", "1")[0]["at"][:19] + "Z")
    assert [r["operation"] for r in trail(hub)] == ["group.add", "audit.prune"], trail(hub)
    # a trail without what it says of itself
    hub.kill(signal.SIGKILL)
    with contextlib.closing(sqlite3.connect(f"{hub.dir}/store/weir.db")) as database:
        database.execute("DROP TRIGGER trail_anchor_update")
        database.execute("UPDATE trail_anchor SET hash = zeroblob(32)")
        database.commit()
    hub.start()
    assert hub.weir("audit", "verify").returncode == 1


def the_audit_trail_is_a_chain_over_restarts(hub):
    hub.ok("peer", "add", "laptop", "--why", "new hardware")
    hub.restart()
    hub.ok("peer", "remove", "laptop")
    records = trail(hub)
    assert [r["operation"] for r in records] == ["config.peer", "peer.add", "peer.remove"], records
    previous = "0" * 64
    for record in records:
        wall = wall_ns(hub, record["sequence"])
        text = "".join(f"{part}\n" for part in (previous, record["sequence"], wall, record["actor"], record["operation"],
                                                record["object"], record["summary"], record["comment"]))
        assert record["previous"] == previous and record["hash"] == hashlib.sha256(text.encode()).hexdigest(), record
        previous = record["hash"]
    said = hub.json("audit", "verify")
    assert said == {"failed": False, "records": 3, "broken": None, "why": None, "hash": previous,
                    "taken_out": None}, said
    assert "(new hardware)" in hub.ok("audit", "trail", "--last", "2")
    assert [r["sequence"] for r in trail(hub, "--last", "2")] == [2, 3]
    assert [r["sequence"] for r in trail(hub, "--after", "1", "--last", "1")] == [2]
    assert trail(hub, "--since", "2999-01-01T00:00:00Z") == [] and len(trail(hub, "--since", "2001-01-01T00:00:00Z")) == 3
    # somebody with the file at hand
    hub.kill(signal.SIGTERM)
    with contextlib.closing(sqlite3.connect(os.path.join(hub.dir, "store", "weir.db"))) as database:
        database.execute("DROP TRIGGER trail_update")
        database.execute("UPDATE trail SET comment = 'old hardware' WHERE sequence = 2")
        database.commit()
    hub.start()
    run = hub.weir("audit", "verify")
    assert run.returncode == 1 and "record 2: it is not as it was written" in run.stdout, run
    assert json.loads(hub.weir("-o", "json", "audit", "verify").stdout)["broken"] == 2


def wall_ns(of, sequence):
    """Nanoseconds of a record: the hub has its store locked, so a copy is read."""
    with tempfile.TemporaryDirectory() as copy:
        for name in ("weir.db", "weir.db-wal"):
            if os.path.exists(os.path.join(of.dir, "store", name)):
                shutil.copy(os.path.join(of.dir, "store", name), copy)
        with contextlib.closing(sqlite3.connect(os.path.join(copy, "weir.db"))) as database:
            return database.execute("SELECT time FROM trail WHERE sequence = ?", (sequence,)).fetchone()[0]


run(globals())
