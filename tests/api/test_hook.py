#!/usr/bin/env python3
"""The webhook of a hub without packets (hub.c), against a receiver that behaves and misbehaves. Prints TAP.

usage: test_hook.py api_hub weir
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import tap
from receiver import Receiver, certificate

HUB, WEIR = sys.argv[1:3]
KEYS = ["8EeP+06S/GKqpp7AMWjqFScBgEhnWkUwmtQOjV1iO2A=", "5Db9DsMWOLC6b7v5Jr1wpnSYFdZSLFUmmIDjyB0u0mE="]
CONF = """
hub: { tunnel = [ "10.77.0.1/24" ]; endpoint = "vpn.example.org:51820"; };
dataplane: { max_peers = 32; };
ports: ( { name = "wan0"; driver = "vdev"; device = "net_null0"; } );
control: { run_dir = "%(dir)s"; store = "%(dir)s/store/weir.db"; };
events: { stale_after = 5; webhook = "https://%(host)s:%(port)d/hook?token=canary"; webhook_ca = "%(ca)s"; };
"""


class Lab:
    """A receiver, and a hub that knows of it."""

    def __init__(self, statuses=(200,), names="IP:127.0.0.1", host="127.0.0.1", trusted=True):
        self.dir = tempfile.mkdtemp(prefix="weir-test-hook-")
        cert, key = certificate(os.path.join(self.dir, "receiver"), names)
        other, _ = certificate(os.path.join(self.dir, "other"), names)
        self.receiver = Receiver(cert, key, statuses)
        conf = os.path.join(self.dir, "weir.conf")
        with open(conf, "w", encoding="utf-8") as file:
            file.write(CONF % {"dir": self.dir, "host": host, "port": self.receiver.port, "ca": cert if trusted else other})
        self.process = subprocess.Popen([HUB, conf], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "listening\n", "hub did not start"

    def weir(self, *words):
        run = subprocess.run([WEIR, "-s", os.path.join(self.dir, "control.sock"), *words], capture_output=True, text=True,
                             timeout=60, check=False)
        assert run.returncode == 0, f"{words}: {run.stderr}"
        return run.stdout

    def webhook(self):
        return json.loads(self.weir("-o", "json", "status"))["webhook"]

    def events(self):
        return json.loads(self.weir("-o", "json", "events", "--limit", "256"))["events"]

    def rotate(self, n):
        """Two events each time: a rotation begins, and is cancelled."""
        for _ in range(n):
            self.weir("peer", "rotate", "laptop", "--next-key", KEYS[1])
            self.weir("peer", "rotate", "laptop", "--cancel")

    def end(self):
        self.receiver.end()
        self.process.send_signal(signal.SIGTERM)
        try:
            _, said = self.process.communicate(timeout=30)
        finally:
            if self.process.poll() is None:
                self.process.kill()
            shutil.rmtree(self.dir)
        assert self.process.returncode == 0, f"hub ended with {self.process.returncode}: {said}"
        assert "canary" not in said, "the URL is in the log"


def wait(condition, what, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited in vain: {what()}"
        time.sleep(0.02)


def events_are_posted_in_order(lab):
    lab.rotate(5)
    wait(lambda: len(lab.receiver.taken()) >= 10, lab.webhook)
    assert lab.receiver.taken() == lab.events(), lab.receiver.taken()
    assert {kind for _, kind, _ in lab.receiver.posts} == {"application/x-ndjson"}
    assert all(body.endswith("\n") for _, _, body in lab.receiver.posts)
    wait(lambda: lab.webhook() == {"posted": 10, "waiting": 0, "dropped": 0, "refused": 0, "failures": 0}, lab.webhook)
    assert 'weir_webhook_events_total{result="posted"} 10' in lab.weir("metrics")


def what_fails_is_posted_again(lab):
    lab.rotate(3)
    wait(lambda: len(lab.receiver.taken()) >= 6, lab.webhook)
    assert lab.receiver.taken() == lab.events(), "each once, in order"
    assert lab.webhook()["failures"] == 3, lab.webhook()


def what_is_refused_for_good_is_given_up(lab):
    lab.rotate(1)
    wait(lambda: lab.webhook()["refused"] >= 1, lab.webhook)
    wait(lambda: lab.webhook()["waiting"] == 0, lab.webhook)
    refused = lab.webhook()["refused"]
    lab.rotate(1)
    wait(lambda: lab.webhook()["waiting"] == 0, lab.webhook)
    assert lab.webhook()["failures"] == 0 and len(lab.receiver.taken()) == 4 - refused, lab.webhook()
    # 302 is not followed: nothing but the first host is ever asked
    assert len(lab.receiver.posts) <= 4


def a_receiver_that_is_not_the_one_gets_nothing(lab):
    lab.rotate(1)
    wait(lambda: lab.webhook()["failures"] >= 2, lab.webhook)
    assert not lab.receiver.posts and lab.webhook()["waiting"] == 2, lab.webhook()


def a_silent_receiver_holds_nobody_up(lab):
    lab.rotate(1)
    wait(lambda: len(lab.receiver.posts) == 1, lab.webhook)
    begin = time.monotonic()
    lab.rotate(5)
    assert len(lab.events()) == 12
    assert time.monotonic() - begin < 9, "longer than one post may take"
    assert lab.webhook()["waiting"] == 12, lab.webhook()


def an_alarm_is_posted(lab):
    lab.weir("peer", "set", "laptop", "--expected-up", "yes")
    wait(lambda: lab.receiver.taken(), lab.webhook)
    event = lab.receiver.taken()[0]
    assert (event["kind"], event["what"], event["peer"]) == ("alarm", "never", "laptop"), event


TESTS = [
    (events_are_posted_in_order, {}),
    (what_fails_is_posted_again, {"statuses": (503, 429, 500, 200)}),
    (what_is_refused_for_good_is_given_up, {"statuses": (302, 200)}),
    (a_receiver_that_is_not_the_one_gets_nothing, {"trusted": False}),
    (a_receiver_that_is_not_the_one_gets_nothing, {"names": "DNS:elsewhere.example"}),
    (a_silent_receiver_holds_nobody_up, {"statuses": ("silence",)}),
    (an_alarm_is_posted, {}),
]


def on_a_lab(test, options):
    lab = Lab(**options)
    try:
        lab.weir("peer", "add", "laptop", "--public-key", KEYS[0])
        test(lab)
    finally:
        lab.end()


for case, how in TESTS:
    tap.run_case(case.__name__, on_a_lab, case, how)
tap.done()
