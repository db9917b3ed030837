#!/usr/bin/env python3
"""weir-bench from outside: what its JSON holds, what it refuses, and whether what it measures is
within the bounds that were set. argv: the program, then the subcommands it has."""

import json
import os
import subprocess
import sys

from tap import check, done

PROGRAM, SUBCOMMANDS = sys.argv[1], sys.argv[2:]
SIZES = [64, 128, 256, 512, 1024, 1280, 1420, "imix"]

# Greatest ratio of the minima, own to reference, both directions. The machine is shared: a run in
# which somebody else took the core is repeated, and the best of N_TRIES counts. avx512 only where
# the CPU can; its bounds are about a tenth above what was measured (path with the policy in it). They hold
# what has been reached; what should be, DESIGN.md section 6, is told by bench/run.
N_TRIES = 5
BOUNDS = {
    ("aead", "ipsec-mb"): {64: 1.05, 1420: 1.03},
    ("path", "ipsec-mb"): {64: 1.35, 1420: 1.10},
    ("aead", "avx512"): {64: 0.28, 512: 0.58, 1420: 0.81, "imix": 0.66},
    ("path", "avx512"): {64: 0.58, 512: 0.74, 1420: 0.90, "imix": 0.84},
}

# From peer to peer: the greatest ratio to the reference, and to the mean of both directions.
HUB_BOUNDS = {64: 0.47, 1420: 0.85}
HUB_BOUND_ONE_WAY = 2.1

HANDSHAKE_LINES = [("x25519", "libsodium"), ("x25519_base", "libsodium"), ("x25519", "OpenSSL"),
                   ("x25519_base", "OpenSSL"), ("protocol", "libsodium"), ("control", "libsodium")]
HANDSHAKE_BOUNDS = {"protocol": 1.25, "control": 1.27}


def run(*arguments):
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=300)


def results(subcommand, *arguments):
    done = run(subcommand, "--rounds", "100", "--json", *arguments)
    if done.returncode != 0:
        raise RuntimeError(f"exit {done.returncode}: {done.stderr}")
    found = json.loads(done.stdout)
    if set(found) != {"results", "machine"}:
        raise RuntimeError(f"the JSON has {sorted(found)}")
    return found["results"]


def shape_problem(found, sizes=SIZES, directions=("seal", "open")):
    expected = [(size, direction) for size in sizes for direction in directions]
    if [(r["size"], r["direction"]) for r in found] != expected:
        return f"sizes and directions are {[(r['size'], r['direction']) for r in found]}"
    for r in found:
        for key in ("cycles_min", "cycles_median", "reference_min", "reference_median"):
            if not 10 < r[key] < 1e6:
                return f"{key} is {r[key]} in {r}"
        if r["cycles_median"] < r["cycles_min"] or r["reference_median"] < r["reference_min"]:
            return f"median below minimum in {r}"
        if abs(r["ratio"] - r["cycles_min"] / r["reference_min"]) > 0.002:
            return f"ratio is not cycles_min / reference_min in {r}"
        for figure, bound in r["bounds"].items():
            is_close = abs(r[figure] - bound["bound"]) < 0.001 * bound["bound"]  # figures are rounded
            if bound["met"] != (r[figure] <= bound["bound"]) and not is_close:
                return f"{figure} beside its bound is wrong in {r}"
        if r["rounds"] != 100 or not isinstance(r["stations"], dict):
            return f"rounds or stations wrong in {r}"
    return None


def bound_problem(subcommand, backend):
    bounds = BOUNDS[subcommand, backend]
    sizes = ",".join(str(size) for size in bounds)
    best = {}
    for _ in range(N_TRIES):
        for r in results(subcommand, "--size", sizes, "--backend", backend):
            key = (r["size"], r["direction"])
            best[key] = min(best.get(key, 1e9), r["ratio"])
        worse = {k: v for k, v in best.items() if v > bounds[k[0]]}
        if not worse:
            return None
    return "\n".join(f"{k[0]} {k[1]}: {v:.3f}, bound {bounds[k[0]]}" for k, v in worse.items())


def refusal_problem(arguments, code, *texts):
    done = run(*arguments)
    if done.returncode == code and done.stdout == "" and all(t in done.stderr for t in texts) \
            and len(done.stderr.splitlines()) == 1:
        return None
    return f"exit {done.returncode}\nstdout: {done.stdout}\nstderr: {done.stderr}"


for subcommand in SUBCOMMANDS:
    try:
        check(f"{subcommand}: JSON has one object a size and direction",
              shape_problem(results(subcommand)))
        fastest = results(subcommand, "--size=64")[0]["backend"].split()[0]
        for backend in ("ipsec-mb", "avx512"):
            name = f"{subcommand}: ratio of {backend} to the reference is within bounds"
            if backend == "avx512" and fastest != "avx512":
                print(f"# skipped: {name}: this CPU cannot")
                continue
            check(name, bound_problem(subcommand, backend))
        sodium = results(subcommand, "--size=64", "--peers=1", "--backend=sodium")
        check(f"{subcommand}: backend and size can be chosen",
              None if len(sodium) == 2 and all(r["backend"].startswith("sodium ") for r in sodium)
              else sodium)
        table = run(subcommand, "--rounds", "100", "--size", "imix")
        check(f"{subcommand}: table names machine, runs and what it does not show",
              None if table.returncode == 0
              and all(word in table.stdout for word in ("machine", "runs", "median", "not shown"))
              else table)
    except (RuntimeError, ValueError, KeyError) as error:
        check(f"{subcommand}: runs", repr(error))

def handshake_problem():
    """Control's way may cost a quarter more than its X25519, the protocol little less: best of N_TRIES,
    as above. What a handshake must reach a second is in bench/README.md, since it is the machine's."""
    best = {}
    for _ in range(N_TRIES):
        found = results("handshake", "--peers", "64")
        names = [(r["what"], r["library"]) for r in found]
        if names != HANDSHAKE_LINES:
            return f"lines are {names}"
        for r in found:
            if r["rounds"] != 100 or not 1e4 < r["cycles_min"] <= r["cycles_median"] < 1e8 \
                    or not 10 < r["per_second"] <= r["per_second_best"]:
                return f"figures wrong in {r}"
            if "ratio" in r:
                best[r["what"]] = min(best.get(r["what"], 1e9), r["ratio"])
        worse = {what: ratio for what, ratio in best.items() if ratio > HANDSHAKE_BOUNDS[what]}
        if not worse:
            return None
    return f"{worse}, bounds {HANDSHAKE_BOUNDS}"


try:
    check("handshake: JSON has every part, and their ratios are within bounds", handshake_problem())
except (RuntimeError, ValueError, KeyError) as error:
    check("handshake: runs", repr(error))
def overload_problem():
    """Two and four times the peak leave 95 % of it, also with junk; best of three."""
    best = {}
    for _ in range(N_TRIES):
        found = results("overload", "--size", "64")
        if [(r["size"], r["junk"], [load["offered"] for load in r["loads"]]) for r in found] \
                != [(64, 0.0, [0.5, 1.0, 2.0, 4.0]), (64, 0.2, [0.5, 1.0, 2.0, 4.0])]:
            return f"results are {found}"
        for r in found:
            if r["rounds"] != 100 or r["peak_mpps"] <= 0 or r["commands"] < 100 or r["command_max_us"] < 0:
                return f"figures wrong in {r}"
            for load in r["loads"]:
                if not 0 <= load["missed"] <= 1 or not 0 <= load["ratio"] < 1.05:
                    return f"figures wrong in {r}"
                if load["offered"] >= 2:
                    key = (r["junk"], load["offered"])
                    best[key] = max(best.get(key, 0), load["ratio"])
        if min(best.values()) >= 0.95:
            return None
    return f"goodput by junk and load, of the peak: {best}, must be 0.95"


if os.cpu_count() > 1:
    try:
        check("overload: goodput beyond the peak is that of the peak", overload_problem())
    except (RuntimeError, ValueError, KeyError) as error:
        check("overload: runs", repr(error))
    table = run("overload", "--rounds", "100", "--size", "64")
    check("overload: table names machine, runs and what it does not show",
          None if table.returncode == 0
          and all(word in table.stdout for word in ("machine", "runs", "goodput", "not shown"))
          else table)
else:
    print("# skipped: overload: one CPU")
check("overload: a single peer has none to send to",
      refusal_problem(["overload", "--peers", "1"], 2, "--peers", '"1"', "2 to 4096"))
check("overload: burst is refused", refusal_problem(["overload", "--burst", "8"], 2, "--burst", "aead"))
table = run("handshake", "--rounds", "100", "--peers", "64")
check("handshake: table names machine, runs and what it does not show",
      None if table.returncode == 0
      and all(word in table.stdout for word in ("machine", "runs", "median", "not shown"))
      else table)
check("handshake: fewer peers than a pass has handshakes are refused",
      refusal_problem(["handshake", "--peers", "15"], 2, "--peers", '"15"', "16 to 4096"))
check("handshake: size is refused, and said what takes it",
      refusal_problem(["handshake", "--size", "64"], 2, "--size", "aead and path and hub and scale and heavy"))



def hub_problem(backend):
    best = {}
    for _ in range(N_TRIES):
        found = results("hub", "--size", "64,1420", "--backend", backend)
        problem = shape_problem(found, (64, 1420), ("seal", "open", "hub"))
        if problem:
            return problem
        for r in found:
            if not 10 < r["other_min"] < r["cycles_min"]:
                return f"other_min is {r['other_min']} in {r}"
        for seal, open_, hub in zip(*[iter(found)] * 3):
            mean = (seal["cycles_min"] + open_["cycles_min"]) / 2
            if abs(hub["ratio_one_way"] - hub["cycles_min"] / mean) > 0.01:
                return f"ratio_one_way is not that to {mean} in {hub}"
            for key in ("ratio", "ratio_one_way"):
                best[hub["size"], key] = min(best.get((hub["size"], key), 1e9), hub[key])
        worse = {k: v for k, v in best.items()
                 if v > (HUB_BOUND_ONE_WAY if k[1] == "ratio_one_way" else
                         HUB_BOUNDS[k[0]] if backend == "avx512" else 9)}
        if not worse:
            return None
    return f"{worse}, bounds {HUB_BOUNDS} and {HUB_BOUND_ONE_WAY}"


try:
    hub_backend = "avx512" if results("path", "--size=64")[0]["backend"].startswith("avx512") else "auto"
    check("hub: packets come through, and their ratios are within bounds", hub_problem(hub_backend))
except (RuntimeError, ValueError, KeyError) as error:
    check("hub: runs", repr(error))


def heavy_problem():
    """What a helper gains is not held here, since a second CPU may be busy with something else: that
    all packets come through in order is, else there is no result."""
    found = results("heavy", "--size", "64,1420")
    ways = [(r["size"], r["way"]) for r in found]
    if ways != [(size, way) for size in (64, 1420) for way in ("open", "seal", "hub")]:
        return f"lines are {ways}"
    for r in found:
        if r["rounds"] != 100 or not 0 < r["helped_min"] <= r["helped_median"] or r["reordered"] != 0 \
                or not 0 < r["alone_min"] <= r["alone_median"] or not 0 < r["helper_share"] <= 1:
            return f"figures wrong in {r}"
    return None


try:
    check("heavy: every packet came through in order, alone and helped",
          heavy_problem() if os.cpu_count() > 1 else None)
except (RuntimeError, ValueError, KeyError) as error:
    check("heavy: runs", repr(error))

ENFORCED = [("known flow, of 1,000", 30), ("known flow, of 1,000,000", 80), ("known flow, of 1,000, policy swapped", None),
            ("new flow, of 1,000 pairs", 150), ("new flow, any pair", 150)]
REFUSED = ["one at a time, from any peer", "four in a row, from one peer"]


def is_verdict(row, figure):
    """met says whether the figure is within its bound; beside it, rounding may say otherwise."""
    return row["met"] == (row[figure] <= row["bound"]) or abs(row[figure] - row["bound"]) < 0.02


def left_out_problem():
    done_run = run("path", "--without-policy", "--size", "64", "--rounds", "100", "--json")
    if done_run.returncode != 0:
        return f"exit code {done_run.returncode}: {done_run.stderr.strip()}"
    left = [name for row in json.loads(done_run.stdout)["results"] for name in row["stations"]
            if name in ("policy", "policy_late")]
    return f"stations {left}" if left else None


def enforcement_problem():
    """That nothing is lost, that what is refused is, and that the refused come at their rate: else there is no
    result. What it costs is in bench/README.md, beside its bounds."""
    done_run = run("path", "--policy", "--rounds", "100", "--json")
    if done_run.returncode != 0:
        return f"exit {done_run.returncode}: {done_run.stderr}"
    found = json.loads(done_run.stdout)
    if [(r["what"], r.get("bound")) for r in found["results"]] != ENFORCED:
        return f"results are {found['results']}"
    for r in found["results"]:
        if r["rounds"] != 100 or not 50 < r["without_min"] < 1e5 or not 50 < r["with_min"] < 1e5 \
                or abs(r["with_min"] - r["without_min"] - r["cycles_min"]) > 0.02 \
                or ("bound" in r and not is_verdict(r, "cycles_min")):
            return f"figures wrong in {r}"
    if [r["what"] for r in found["drops"]] != REFUSED:
        return f"drops are {found['drops']}"
    for r in found["drops"]:
        if not 98000 < r["a_second"] < 101000 or not is_verdict(r, "slower_percent"):
            return f"drops are {r}"
    return None if found["swaps"] > 1000 and found["swaps_lost"] == 0 else f"swaps: {found['swaps']}"


try:
    check("path --policy: every packet passes or is refused as it should", enforcement_problem())
except (RuntimeError, ValueError, KeyError) as error:
    check("path --policy: runs", repr(error))
table = run("path", "--policy", "--rounds", "100")
check("path --policy: table names machine, runs, bounds and what it does not show",
      None if table.returncode == 0
      and all(word in table.stdout for word in ("machine", "runs", "bound", "not shown"))
      else table)
check("path --policy: too few peers are refused", refusal_problem(["path", "--policy", "--peers", "63"], 1, "64"))
check("path --without-policy: the policy's stations are left out", left_out_problem())
check("aead --without-policy is refused", refusal_problem(["aead", "--without-policy"], 2, '"--without-policy"'))
check("hub --policy is refused", refusal_problem(["hub", "--policy"], 2, '"--policy"'))
check("machine: rounds are refused",
      refusal_problem(["machine", "--rounds", "100"], 2, "--rounds", "handshake"))
check("missing subcommand is refused", refusal_problem([], 2, *SUBCOMMANDS))
check("unknown subcommand is refused", refusal_problem(["foo"], 2, '"foo"', *SUBCOMMANDS))
check("too few rounds are refused",
      refusal_problem(["aead", "--rounds", "99"], 2, "--rounds", '"99"', "100 to 100000"))
check("number with a tail is refused",
      refusal_problem(["aead", "--rounds", "100x"], 2, "--rounds", '"100x"'))
check("no peers are refused", refusal_problem(["aead", "--peers=0"], 2, "--peers", "1 to 4096"))
check("too large a burst is refused",
      refusal_problem(["aead", "--burst", "65"], 2, "--burst", "1 to 64"))
check("burst of path is refused", refusal_problem(["path", "--burst", "8"], 2, "--burst", "aead"))
check("unknown size is refused", refusal_problem(["aead", "--size", "64,65"], 2, "--size", "1420"))
check("unknown backend is refused",
      refusal_problem(["aead", "--backend", "x"], 2, "--backend", "ipsec-mb"))
check("unknown option is refused", refusal_problem(["aead", "--fast"], 2, '"--fast"', "--rounds"))
check("option without its value is refused", refusal_problem(["aead", "--size"], 2, "--size"))
machine = run("machine", "--json")
check("machine: CPU, TSC and core clock as JSON",
      None if machine.returncode == 0 and json.loads(machine.stdout)["machine"]["cpu"]
      and 0.5 < json.loads(machine.stdout)["machine"]["tsc_ghz"] < 10
      and 0.2 < json.loads(machine.stdout)["machine"]["clock_ratio"] < 10 else machine)
usage = run("--help")
check("help names every option",
      None if usage.returncode == 0 and all(
          o in usage.stdout for o in ("--rounds", "--peers", "--burst", "--size", "--backend", "--json"))
      else usage)
done()
