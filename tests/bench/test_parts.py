#!/usr/bin/env python3
"""The scripts of bench/run that start a hub, each with the least it takes: what they print, what they
refuse, and that they leave no namespace and no file. argv: the tree, the build folder."""

import glob
import json
import os
import subprocess
import sys

from tap import done, run_cases, skip

TOP, BUILD = sys.argv[1], sys.argv[2]


def script(name, *arguments):
    process = subprocess.Popen(["bash", os.path.join(TOP, "bench", "parts", name), *arguments],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env=os.environ | {"WEIR_BUILD": BUILD})
    out, err = process.communicate(timeout=100)
    tag = {"network.sh": "bn", "memory.sh": "bm", "cores.sh": "bc"}[name] + str(process.pid)
    left = glob.glob(f"/run/netns/{tag}-*") + glob.glob(f"/tmp/weir-{tag}.*")
    assert not left, f"left behind: {left}"
    return process.returncode, out, err


def output(name, *arguments):
    status, out, err = script(name, *arguments)
    assert status == 0, f"exit {status}: {err[-1500:]}"
    return json.loads(out)


def network_measures_both_hubs_in_every_round():
    found = output("network.sh", "2", "1", "5")
    assert set(found["tcp"]) == {"weir", "wireguard-go"}, found
    assert all(len(rounds) == 2 and min(rounds) > 0 for rounds in found["tcp"].values()), found
    assert set(found["ping"]) == {"weir", "wireguard-go", "direct"}, found
    for rounds in found["ping"].values():
        assert all(0 < r["min"] <= r["median"] <= r["p90"] <= r["max"] and r["n"] == 5 for r in rounds), found


def memory_is_read_idle_and_with_peers():
    found = output("memory.sh", "300")
    for state in ("idle", "room", "full"):
        for process in ("dataplane", "control"):
            assert found[state][process]["rss"] > 1000, found
    assert found["peers"] == 300 and found["add_seconds"] > 0, found


def cores_measures_speed_and_latency():
    found = output("cores.sh", "0.05", "16", "1", "1", "64")
    measured = found["64"]
    assert len(measured["full"]) == 1 and measured["full"][0]["trials"][0]["received"] > 0, found
    assert [len(run["trials"]) for run in measured["loss"]] == [8], found
    assert [t["share"] for t in measured["latency"]] == [0.1, 0.3, 0.6], found
    assert measured["search"] is None or measured["search"]["command"] == "search", found


def wrong_arguments_are_refused_with_what_is_taken():
    for name, words in (("network.sh", "ROUNDS SECONDS PINGS"), ("memory.sh", "PEERS"),
                        ("cores.sh", "SECONDS PEERS TRIALS SWEEPS SIZE")):
        status, out, err = script(name)
        assert status == 2 and out == "" and words in err, (status, out, err)


cases = [wrong_arguments_are_refused_with_what_is_taken, network_measures_both_hubs_in_every_round,
         memory_is_read_idle_and_with_peers]
run_cases(cases)
if len(os.sched_getaffinity(0)) >= 2:
    run_cases([cores_measures_speed_and_latency])
else:
    skip("cores measures speed and latency", "one CPU")
done()
