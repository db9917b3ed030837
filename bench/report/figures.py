"""From the JSON of the parts to figures beside their bounds: the same rows for the table in the
terminal and for the page. Bounds are the project's own (the design's table, the lines under it, and
the demo's promise to be no slower than wireguard-go); a figure without one has none here.
As a program: figures.py DIR prints the table of kept results."""

import json
import os
import statistics
import sys
from dataclasses import dataclass

import goodput

TITLES = {
    "aead": "AEAD by backend, size and burst",
    "path": "The path through a worker, by station",
    "hub": "Hub path: opened from one peer, sealed to another",
    "peers": "Cost per packet by number of peers",
    "policy": "The policy: flows and decisions by themselves, and what they add to the path",
    "block": "Drop lists: sources looked up, lists compiled",
    "scale": "100,000 peers, 1,000,000 allowed IPs",
    "handshake": "Handshakes, as the hub answers them",
    "overload": "Overload: goodput beyond the peak",
    "heavy": "A heavy peer, with the help of other cores",
    "cores": "Hub and traffic generator on a core each, without a kernel between",
    "network": "End to end over af_packet, beside a wireguard-go hub",
    "memory": "Memory of dataplane and control",
}
# One direction of the path at 256 peers: size -> (cycles, ratio to the ipsec-mb job API).
PATH_BOUNDS = {64: (200, 0.60), 512: (540, 0.72), 1420: (1200, 0.92), "imix": (520, 0.92)}
WITHOUT_AEAD = 100  # cycles, at 4096 peers
AEAD_STATIONS = ("out_seal", "in_open", "open_rests")
DIRECTIONS = ("seal", "open")
# What reading a result of another version ends in; said in the table and the page.
SHAPE_ERRORS = (KeyError, IndexError, TypeError, ValueError, StopIteration)


@dataclass
class Figure:
    part: str
    name: str
    value: float = None        # None: not measured, and why is in note
    unit: str = ""
    bound: float = None
    at_least: bool = False     # the bound is a least value, not a greatest
    note: str = ""
    status: str = "ok"         # of the part: what a figure without value is called

    @property
    def verdict(self):
        if self.value is None:
            return self.status if self.status == "failed" else "not run"
        if self.bound is None:
            return ""
        return "met" if self.used <= 1 else "missed"

    @property
    def used(self):
        """The share of the bound that the figure uses up: at most 1 when it is met."""
        if self.at_least:
            return self.bound / self.value if self.value > 0 else float("inf")
        return self.value / self.bound


def load(folder):
    """{part: its JSON}; a part without a file is one that was not run."""
    found = {}
    for name, title in TITLES.items():
        try:
            with open(os.path.join(folder, name + ".json"), encoding="utf-8") as file:
                found[name] = json.load(file)
        except FileNotFoundError:
            found[name] = {"part": name, "title": title, "status": "not run",
                           "reason": "left out of this run", "runs": []}
    return found


def size_name(size):
    return "IMIX" if size == "imix" else f"{size} B"


def runs(part, **arguments):
    """The steps of a part that ran, with these arguments."""
    return [run for run in part["runs"] if run["status"] == "ok"
            and all(run["arguments"].get(key) == value for key, value in arguments.items())]


def output(part, **arguments):
    """What the first such step printed, or None."""
    found = runs(part, **arguments)
    return found[0]["output"] if found else None


def rows_of(part, **arguments):
    """{(size, direction): row} of a step that printed weir-bench's results."""
    found = output(part, **arguments)
    return {(row["size"], row["direction"]): row for row in found["results"]} if found else {}


def why_not(part):
    """Why a part has no figure, in words."""
    reasons = [run["reason"] for run in part["runs"] if run["status"] != "ok"]
    return part.get("reason") or "; ".join(dict.fromkeys(reasons)) or "the figure is not in its result"


def aead_figures(part):
    rows = rows_of(part, burst=32, backend="avx512") or rows_of(part, burst=32, backend="avx2")
    return [Figure("aead", f"{row['backend'].split()[0]}, {size_name(size)}, {direction}: ratio to ipsec-mb",
                   row["ratio"])
            for (size, direction), row in rows.items() if size in PATH_BOUNDS]


def without_aead(row):
    if "other_min" in row:
        return row["other_min"]
    return sum(cycles for name, cycles in row["stations"].items() if name not in AEAD_STATIONS)


def path_figures(part):
    """The rows of DESIGN.md section 6, which were set before there was a policy: with it, and without."""
    without = {peers: rows_of(part, peers=peers, without_policy=True) for peers in (256, 4096)}
    found = path_rows(part, rows_of(part, peers=256), rows_of(part, peers=4096), "")
    return found + (path_rows(part, without[256], without[4096], ", policy left out") if without[256] else [])


def path_rows(part, rows, many, how):
    found = []
    for size, (cycles, ratio) in PATH_BOUNDS.items():
        for direction in DIRECTIONS:
            row = rows.get((size, direction))
            name = f"path, {size_name(size)}, {direction}{how}"
            if row is None:
                found.append(Figure("path", name, bound=ratio, note=why_not(part)))
                continue
            found.append(Figure("path", name + ": cycles a packet", row["cycles_min"], "cycles", cycles))
            found.append(Figure("path", name + ": ratio to ipsec-mb", row["ratio"], "", ratio))
    for direction in DIRECTIONS:
        row = many.get((64, direction))
        found.append(Figure("path", f"beside the AEAD, 4096 peers, 64 B, {direction}{how}",
                            round(without_aead(row), 1) if row else None, "cycles", WITHOUT_AEAD,
                            note="" if row else why_not(part)))
    return found


def peers_figures(part):
    few, many = rows_of(part, peers=256), rows_of(part, peers=4096)
    return [Figure("peers", f"4096 peers against 256, 64 B, {direction}",
                   round(many[64, direction]["cycles_min"] / few[64, direction]["cycles_min"], 3), "x")
            for direction in DIRECTIONS if (64, direction) in few and (64, direction) in many]


GOODPUT = 0.95     # of the peak, at 2 and 4 times its load
HANDSHAKES = 6000  # a second and control core


def handshake_figures(part):
    found = output(part)
    if found is None:
        return [Figure("handshake", "handshakes a second through control", bound=HANDSHAKES, at_least=True,
                       note=why_not(part))]
    control = next(row for row in found["results"] if row["what"] == "control")
    return [Figure("handshake", "handshakes through control, one core, best round", round(control["per_second_best"]), "1/s",
                   HANDSHAKES, True),
            Figure("handshake", "handshakes through control, one core, median round", round(control["per_second"]), "1/s"),
            Figure("handshake", "handshake through control / the X25519 in it alone", round(control["ratio"], 3), "x")]


def full_speed(measured):
    """Of one size of part cores: the best trial at full speed, as others can only slow it down."""
    return max((trial["trials"][0] for trial in measured["full"]), key=lambda trial: trial["received_pps"])


LATE = 0.05  # of what was due: a trial in which the generator was so late says nothing about the hub
NO_CPU = "the generator did not get its CPU: other programs ran"
NOT_OFFERED = "the generator could not offer so much"


def in_time(trial):
    return trial["skipped"] <= LATE * (trial["sent"] + trial["unsent"] + trial["skipped"])


def goodput_figures(name, measured):
    shares = goodput.shares(measured)
    for multiple in (2, 4):
        share = shares.get(multiple)
        yield Figure("cores", f"{name}, goodput at {multiple} x the peak's load / peak", share and round(share, 3),
                     "x", GOODPUT, True, "" if share else NOT_OFFERED)


def latency_figures(name, measured):
    trial = next(t["trial"]["trials"][0] for t in measured["latency"] if t["share"] == 0.3)
    for percentile in ("p50", "p99"):
        label = f"{name}, latency at 0.3 of full speed, {percentile}"
        if in_time(trial):
            yield Figure("cores", label, trial["latency_us"][percentile], "us")
        else:
            yield Figure("cores", label, note=NO_CPU)


def steady_figure(name, measured):
    """The search's rate, unless the generator was late at a higher one: that was not the hub's doing."""
    label = f"{name}, steady pace with <= 0.1 % not sent or lost"
    found = measured["search"] and measured["search"]["found_pps"]
    if not found:
        return Figure("cores", label, note="no rate passed")
    if any(trial["rate_pps"] and trial["rate_pps"] > found and not in_time(trial)
           for trial in measured["search"]["trials"]):
        return Figure("cores", label, note=NO_CPU)
    return Figure("cores", label, round(found / 1e6, 3), "Mpps")


def cores_figures(part):
    found = output(part)
    if found is None:
        return [Figure("cores", "peer to peer through two cores", note=why_not(part))]
    made = []
    for size, measured in found.items():
        best = full_speed(measured)
        name = "two cores, " + size_name(size)
        made += [Figure("cores", f"{name}, full speed", round(best["received_pps"] / 1e6, 3), "Mpps"),
                 Figure("cores", f"{name}, full speed, inner", round(best["received_gbps"], 2), "Gbit/s"),
                 Figure("cores", f"{name}, lost at full speed", round(best["lost_ratio"] * 100, 4), "%"),
                 steady_figure(name, measured), *goodput_figures(name, measured), *latency_figures(name, measured)]
    return made


HUB_BOUND = 1.95


def hub_figures(part):
    rows = {size: row for (size, direction), row in rows_of(part).items() if direction == "hub"}
    if not rows:
        return [Figure("hub", "hub path / mean of open and seal, 64 B", bound=HUB_BOUND, note=why_not(part))]
    return [figure for size, row in rows.items() if size in PATH_BOUNDS for figure in (
        Figure("hub", f"hub path, {size_name(size)}: cycles a packet", row["cycles_min"], "cycles"),
        Figure("hub", f"hub path, {size_name(size)}: ratio to ipsec-mb", row["ratio"]),
        Figure("hub", f"hub path / mean of open and seal, {size_name(size)}", row["ratio_one_way"], "", HUB_BOUND),
    )]


def policy_alone(part):
    """What the module's own step printed, or None."""
    return next((run["output"] for run in runs(part) if "peers" not in run["arguments"]), None)


def policy_figures(part):
    found = policy_alone(part)
    return [Figure("policy", "policy, " + row["what"], row["cycles_min"], "cycles", row.get("bound"))
            for row in (found or {"results": []})["results"] if "cycles_min" in row] + enforced_figures(part)


def enforced_figures(part):
    """What the path costs more for it: peers is what tells these steps from the module's own."""
    found = [(f"enforced, {run['arguments']['peers']} peers", run["output"]) for run in runs(part)
             if "peers" in run["arguments"]]
    return [figure for name, output_of in found for figure in (
        *(Figure("policy", f"{name}: {row['what']}", row["cycles_min"], "cycles", row.get("bound"))
          for row in output_of["results"]),
        *(Figure("policy", f"{name}: slower by 100,000 drops a second, {row['what']}", row["slower_percent"], "%", row["bound"])
          for row in output_of["drops"]))]


def block_figures(part):
    found = output(part)
    if found is None:
        return []
    return ([Figure("block", "block, " + row["what"], row["cycles_min"], "cycles", row["bound"]) for row in found["results"]]
            + [Figure("block", f"block, {row['what']} built and checked", row["build_ms_min"], "ms", 2000)
               for row in found["builds"] if row["prefixes"] >= 1000000])


def scale_figures(part):
    found = output(part)
    if found is None:
        return [Figure("scale", "100,000 peers / 256 peers", bound=1.25, note=why_not(part))]
    peers, routes = f"{found['peers']:,}", f"{found['routes']:,}"
    return ([Figure("scale", f"{peers} peers, {routes} prefixes / 256 peers, {size_name(row['size'])}, {row['direction']}",
                    round(row["ratio"], 3), "x", 1.25) for row in found["packets"]]
            + [Figure("scale", "memory of the dataplane a peer with a session", round(found["bytes_a_peer"]), "bytes", 2048),
               Figure("scale", "memory of the dataplane a flow, of a table twice as large", round(found["bytes_a_flow"]), "bytes"),
               Figure("scale", "peers, sessions and prefixes filled in", round(found["fill_s"], 2), "s"),
               Figure("scale", f"routing table, {routes} single addresses, a prefix",
                      round(found["hosts"]["bytes_a_prefix"], 1), "bytes"),
               Figure("scale", f"routing table, {routes} networks, a prefix",
                      round(found["nets"]["bytes_a_prefix"], 1), "bytes")])


def overload_figures(part):
    found = output(part)
    if found is None:
        return [Figure("overload", "goodput at 4 x the peak's load / peak", bound=GOODPUT, at_least=True,
                       note=why_not(part))]
    made = []
    for row in found["results"]:
        name = f"{size_name(row['size'])}{', a fifth of it junk' if row['junk'] else ''}"
        made += [Figure("overload", f"goodput at {load['offered']:g} x the peak's load / peak, {name}", load["ratio"], "x",
                        GOODPUT, True) for load in row["loads"] if load["offered"] > 1]
    return made + [Figure("overload", "longest wait of a command of control's meanwhile",
                          max(row["command_max_us"] for row in found["results"]), "us")]


def heavy_figures(part):
    found = output(part)
    if found is None:
        return [Figure("heavy", "one peer, owner with a helper / alone", note=why_not(part))]
    return [Figure("heavy", f"one peer, {size_name(row['size'])}, {row['way']}: speed-up by a helper", row["speedup"], "x")
            for row in found["results"] if row["size"] in PATH_BOUNDS]


def network_figures(part):
    found = output(part)
    names = ("TCP: weir / wireguard-go hub, median of the rounds", "ping through weir / through the wireguard-go hub",
             "ping through weir", "ping, the two clients without a hub")
    if found is None:
        return [Figure("network", names[0], bound=1.0, at_least=True, note=why_not(part))]
    pairs = list(zip(found["tcp"]["weir"], found["tcp"]["wireguard-go"]))
    ping = {via: statistics.median(r["median"] for r in rounds) for via, rounds in found["ping"].items()}
    return [Figure("network", names[0], round(statistics.median(a / b for a, b in pairs), 2), "x", 1.0, True),
            Figure("network", "TCP through weir, median", statistics.median(a for a, _ in pairs), "Mbit/s"),
            Figure("network", names[1], round(ping["weir"] / ping["wireguard-go"], 2), "x", 1.0),
            Figure("network", names[2], round(ping["weir"], 3), "ms"),
            Figure("network", names[3], round(ping["direct"], 3), "ms")]


def memory_figures(part):
    found = output(part)
    if found is None:
        return [Figure("memory", "idle, both processes", note=why_not(part))]
    grown = {name: (found["full"][name]["rss"] - found["room"][name]["rss"]) * 1024 / found["peers"]
             for name in ("dataplane", "control")}
    return [Figure("memory", "memory of the dataplane, idle", round(found["idle"]["dataplane"]["rss"] / 1024, 1), "MB", 120),
            Figure("memory", "memory of control, idle", round(found["idle"]["control"]["rss"] / 1024, 1), "MB", 40),
            Figure("memory", f"memory of the dataplane, a peer more (of {found['peers']} without a session)",
                   round(grown["dataplane"]), "bytes", 2048),
            Figure("memory", f"memory of control, a peer more (of {found['peers']})", round(grown["control"]), "bytes")]


MAKERS = {"aead": aead_figures, "path": path_figures, "hub": hub_figures, "peers": peers_figures,
          "policy": policy_figures, "block": block_figures, "scale": scale_figures, "handshake": handshake_figures, "overload": overload_figures, "heavy": heavy_figures,
          "cores": cores_figures, "network": network_figures, "memory": memory_figures}


def figures(results):
    """All figures of all parts, in order. A part that says nothing is one row with the reason."""
    found = []
    for name in TITLES:
        part = results[name]
        try:
            made = MAKERS[name](part)
        except SHAPE_ERRORS as problem:
            made = [Figure(name, part["title"], note=f"its result has another shape: {problem!r}")]
        made = made or [Figure(name, part["title"], note=why_not(part))]
        for row in made:
            row.status = part["status"]
        found += made
    return found


def tally(rows):
    """How many of each verdict, in words."""
    count = {verdict: sum(row.verdict == verdict for row in rows)
             for verdict in ("met", "missed", "failed", "not run")}
    return ", ".join(f"{n} {verdict}" for verdict, n in count.items() if n or verdict == "met")


def show(value):
    return "-" if value is None else f"{value:.3f}".rstrip("0").rstrip(".")


def bound_text(figure):
    if figure.bound is None:
        return ""
    return (">= " if figure.at_least else "<= ") + show(figure.bound)


def text_table(results):
    """For the terminal."""
    lines = [f"{'part':<9} {'figure':<66} {'value':>9} {'unit':<7} {'bound':<9} verdict", "-" * 112]
    rows = figures(results)
    for row in rows:
        lines.append(f"{row.part:<9} {row.name:<66} {show(row.value):>9} {row.unit:<7} "
                     f"{bound_text(row):<9} {row.verdict}{': ' + row.note if row.note else ''}".rstrip())
    lines.append("\n" + tally(rows))
    return "\n".join(lines)


if __name__ == "__main__":
    if len(sys.argv) != 2 or not os.path.isdir(sys.argv[1]):
        sys.exit("usage: figures.py DIR: a folder with the JSON files of bench/run")
    print(text_table(load(sys.argv[1])))
