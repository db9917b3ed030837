"""From the JSON of one part to its plots: a list of (SVG, table) each, where a table is a header and
rows, shown under the plot for those who want the numbers. What a plot is made of is in chart.py."""

import chart
import figures
import goodput
from figures import AEAD_STATIONS, DIRECTIONS, PATH_BOUNDS, output, rows_of, runs, size_name

WAY = {"seal": "out (seal)", "open": "in (open)"}


def _sizes(rows):
    return list(dict.fromkeys(size for size, _ in rows))


def aead(part):
    backends = {run["arguments"]["backend"]: rows_of(part, **run["arguments"])
                for run in runs(part, burst=32)}
    backends = {name: rows for name, rows in backends.items() if rows}
    plots = []
    for direction in DIRECTIONS:
        if not backends:
            break
        sizes = _sizes(next(iter(backends.values())))
        series = [(name, {size: rows[size, direction]["cycles_min"] for size in sizes})
                  for name, rows in backends.items()]
        plots.append((chart.lines(
            f"AEAD, {direction}: cycles a packet by size and backend",
            "Minimum TSC cycles a packet, bursts of 32 of mixed keys; lower is better.",
            [(size, size_name(size)) for size in sizes], "size of the packet", "TSC cycles a packet (min)", series, apart=("imix",)),
            (["backend"] + [size_name(size) for size in sizes],
             [[name] + [points[size] for size in sizes] for name, points in series])))
    return plots + _aead_bursts(part)


def _aead_bursts(part):
    by_burst = {run["arguments"]["burst"]: rows_of(part, **run["arguments"])
                for run in runs(part, backend="auto")}
    # auto is the fastest backend that there is, which was measured with bursts of 32
    backend = next(iter(by_burst.values()), {}).get((64, "seal"), {}).get("backend", "").split()[:1]
    if not backend:
        return []
    by_burst[32] = rows_of(part, burst=32, backend=backend[0])
    bursts = sorted(by_burst)
    sizes = [size for size in PATH_BOUNDS if all((size, "seal") in by_burst[b] for b in bursts)]
    series = [(size_name(size), {b: by_burst[b][size, "seal"]["ratio"] for b in bursts}) for size in sizes]
    return [(chart.lines(
        f"AEAD, seal, {backend[0]}: ratio to ipsec-mb by packets in a burst",
        "Cycles over those of the ipsec-mb job API in the same rounds; below 1 is faster.",
        [(b, str(b)) for b in bursts], "packets in a burst", "ratio to the ipsec-mb job API", series,
        (1.0, "as ipsec-mb")),
        (["size"] + [str(b) for b in bursts],
         [[name] + [points[b] for b in bursts] for name, points in series]))]


def path(part):
    plots = []
    for direction in DIRECTIONS:
        for peers in (256, 4096):
            rows = rows_of(part, peers=peers)
            sizes = [size for size in PATH_BOUNDS if (size, direction) in rows]
            if not sizes:
                continue
            stations = {size: rows[size, direction]["stations"] for size in sizes}
            names = list(next(iter(stations.values())))
            table = (["size"] + names, [[size_name(s)] + [stations[s][n] for n in names] for s in sizes])
            if peers == 256:
                plots.append((chart.stacked(
                    f"Way {WAY[direction]}: cycles a packet by station, {peers} peers",
                    "Minimum TSC cycles of each station, timed apart from the whole way.",
                    [(size_name(s), list(stations[s].items())) for s in sizes],
                    "TSC cycles a packet", left=70), table))
            else:
                plots.append((chart.stacked(
                    f"Way {WAY[direction]}: cycles beside the AEAD, {peers} peers",
                    "The same without the station that seals or opens.",
                    [(size_name(s), [(n, c) for n, c in stations[s].items() if n not in AEAD_STATIONS])
                     for s in sizes], "TSC cycles a packet, without the AEAD",
                    (figures.WITHOUT_AEAD, "bound"), names, left=70), table))
    return plots


def peers(part):
    counts = sorted(run["arguments"]["peers"] for run in runs(part))
    rows = {n: rows_of(part, peers=n) for n in counts}
    if len(counts) < 2:
        return []
    series = [(f"{size_name(size)} {direction}", {n: rows[n][size, direction]["cycles_min"] for n in counts})
              for size in (64, 512, 1420) for direction in DIRECTIONS]
    return [(chart.lines(
        "Path: cycles a packet by number of peers",
        "Minimum TSC cycles a packet, packets of all peers in turn.",
        [(n, chart.number(n)) for n in counts], "peers", "TSC cycles a packet (min)", series),
        (["size, way"] + [str(n) for n in counts],
         [[name] + [points[n] for n in counts] for name, points in series]))]


def handshake(part):
    found = output(part)
    if found is None:
        return []
    words = {"x25519": "X25519, a peer's point", "x25519_base": "X25519, the base point", "protocol": "handshake, protocol alone",
             "control": "handshake, through control"}
    rows = {(row["what"], row["library"]): row for row in found["results"]}
    whole = [(words[what], rows[what, "libsodium"]["per_second_best"]) for what in ("protocol", "control")]
    single = [(f"{words[what]}, {library}", rows[what, library]["per_second_best"])
              for what in ("x25519", "x25519_base") for library in ("libsodium", "OpenSSL")]
    table = (["what", "library", "a second, best", "a second, median", "cycles, min", "cycles, median"],
             [[words[row["what"]], row["library"]] + [round(row[key]) for key in (
                 "per_second_best", "per_second", "cycles_min", "cycles_median")] for row in found["results"]])
    return [(chart.bars("Handshakes a second on one core", "As responder, best round; more is better.", whole,
                        "handshakes a second (best round)", (figures.HANDSHAKES, "bound: at least"), left=220), table),
            (chart.bars("X25519 operations a second by library", "Best round; more is better.", single,
                        "operations a second (best round)", left=250), table)]


def _goodput(found):
    shares = {size: goodput.shares(measured) for size, measured in found.items()}
    if not any(shares.values()):
        return []
    multiples = goodput.MULTIPLES
    table = (["size", "peak, Mpps"] + [f"{multiple} x" for multiple in multiples],
             [[size_name(size), round(goodput.peak_pps(found[size]) / 1e6, 3)]
              + [round(of[multiple], 3) if multiple in of else "not offered" for multiple in multiples]
              for size, of in shares.items()])
    return [(chart.lines("Goodput under overload, in shares of its peak",
                         "Loads in turn, in short rounds; the median of a trial's share of that at the peak's load in its round.",
                         [(multiple, f"{multiple} x") for multiple in multiples],
                         "offered load, in multiples of the peak", "what came through, in shares of the peak",
                         [(size_name(size), of) for size, of in shares.items()],
                         (figures.GOODPUT, "bound: at least")), table)]


def cores(part):
    found = output(part)
    if found is None:
        return []
    speed = [(size_name(size), round(figures.full_speed(measured)["received_pps"] / 1e6, 3)) for size, measured in found.items()]
    percentiles = ("p50", "p90", "p99", "p99.9", "max")
    trials = {(size, t["share"]): t["trial"]["trials"][0] for size, m in found.items() for t in m["latency"]}
    series = [(size_name(size), {p: trials[size, 0.3]["latency_us"][p] for p in percentiles}) for size in found]
    return [
        (chart.bars("Hub path at full speed, a core for the hub, another for the generator",
                    "Packets from peer to peer; the rings of the socket hold the generator back. Best of the trials.",
                    speed, "million packets a second (more is better)", left=80),
         (["size", "best Mpps", "Gbit/s", "lost", "hub the slower side (of turns)", "Mpps of each trial"],
          [[size_name(size), round(best["received_pps"] / 1e6, 3), best["received_gbps"], best["lost"],
            best.get("waited_ratio", "-"), ", ".join(f"{t['trials'][0]['received_pps'] / 1e6:.3f}" for t in m["full"])]
           for size, m in found.items() for best in [figures.full_speed(m)]])),
        *_goodput(found),
        (chart.lines("Latency by percentile, at 0.3 of full speed",
                     "From making a packet to having opened it in the generator, through the hub.",
                     [(p, p) for p in percentiles], "share of the packets that waited no longer", "microseconds (logarithmic)",
                     series, log=True),
         (["size", "share of full speed", "sent Mpps", "lost", "late"] + [p + " us" for p in percentiles],
          [[size_name(size), share, round(t["sent_pps"] / 1e6, 3), t["lost"], t["skipped"]]
           + [t["latency_us"][p] for p in percentiles] for (size, share), t in trials.items()]))]


VIA = {"weir": "through weir", "wireguard-go": "through wireguard-go", "direct": "without a hub"}


def network(part):
    found = output(part)
    if found is None:
        return []
    plots = []
    for kind, title, unit, pick in (
            ("tcp", "TCP from office to home: each round's goodput", "Mbit/s (more is better)", lambda r: r),
            ("ping", "Ping from office to home: each round's median", "milliseconds (less is better)",
             lambda r: r["median"])):
        rows = [(VIA[via], [pick(r) for r in rounds]) for via, rounds in found[kind].items()]
        plots.append((chart.dots(title, "A dot is a round, in which the ways took turns; the bar is the median.",
                                 rows, unit, left=170),
                      (["way"] + [f"round {i + 1}" for i in range(len(rows[0][1]))],
                       [[label] + values for label, values in rows])))
    return plots


def memory(part):
    found = output(part)
    if found is None:
        return []
    states = (("idle", "idle"), ("room", f"room for {chart.number(found['peers'])} peers"),
              ("full", f"{chart.number(found['peers'])} peers"))
    rows = [(f"{process}, {words}", round(found[state][process]["rss"] / 1024, 1))
            for process in ("dataplane", "control") for state, words in states]
    return [(chart.bars("Resident memory", "Resident set without huge pages, which the dataplane's packet buffers lie in.",
                        rows, "MB resident", left=220),
             (["process, state", "resident MB", "of it shared MB", "huge pages MB"],
              [[f"{process}, {words}"] + [round(found[state][process][key] / 1024, 1)
                                          for key in ("rss", "shared", "huge")]
               for process in ("dataplane", "control") for state, words in states]))]


def headline(rows):
    """All figures that have a bound, beside it; rows of figures.figures()."""
    bounded = [row for row in rows if row.value is not None and row.bound is not None]
    if not bounded:
        return ""
    return chart.against_bounds(
        "Figures beside their bounds", "The share of its bound that each figure uses up; at most 1 is met.",
        [(row.name, row.used, f"{figures.show(row.value)} {row.unit}, bound {figures.bound_text(row)}",
          row.verdict == "met") for row in bounded], left=430)


def scale(part):
    found = output(part)
    if found is None:
        return []
    many = f"{found['peers']:,} peers, {found['routes']:,} prefixes"
    rows = [(f"{size_name(row['size'])}, {row['direction']}, {words}", round(row[key], 1)) for row in found["packets"]
            for key, words in (("few_min", "256 peers"), ("many_min", many))]
    looked = [(f"{table}, IPv{family[1]}, {words}", found[key][family][what])
              for key, table in (("hosts", "single addresses"), ("nets", "networks"))
              for family in ("v4", "v6") for what, words in (("burst_hit", "found"), ("burst_miss", "not found"))]
    return [
        (chart.bars("Packets with few and with many peers", "Minimum cycles, both in turn in every round.",
                    rows, "TSC cycles a packet (min)", left=290),
         (["size", "way", "256 peers, min", many + ", min", "ratio", "ratio (med)"],
          [[row[key] for key in ("size", "direction", "few_min", "many_min", "ratio", "ratio_median")]
           for row in found["packets"]])),
        (chart.bars("Routing table alone: a look-up in a burst", f"{found['routes']:,} prefixes, bursts of look-ups.",
                    looked, "TSC cycles a look-up", left=260),
         (["table", "filled in s", "bytes a prefix"],
          [[words, found[key]["fill_s"], found[key]["bytes_a_prefix"]]
           for key, words in (("hosts", "single addresses"), ("nets", "networks"))]))]


def heavy(part):
    found = output(part)
    if found is None:
        return []
    rows = found["results"]
    sizes = list(dict.fromkeys(row["size"] for row in rows))
    by_way = {}
    for row in rows:
        by_way.setdefault(row["way"], {})[row["size"]] = row["speedup"]
    return [(chart.lines(
        "One peer: speed-up by a helper's core", "Cycles of the owner alone over those with help, minima of the rounds.",
        [(size, size_name(size)) for size in sizes], "size of the packet", "times as fast as the owner alone",
        list(by_way.items()), (1.0, "alone"), apart=("imix",)),
        (["size", "way", "alone, min cycles", "helped, min cycles", "speed-up", "speed-up (med)", "done by the helper"],
         [[size_name(row["size"]), row["way"], row["alone_min"], row["helped_min"], row["speedup"],
           row["speedup_median"], row["helper_share"]] for row in rows]))]


def hub(part):
    rows = rows_of(part)
    sizes = [size for size in PATH_BOUNDS if (size, "hub") in rows]
    if not sizes:
        return []
    stations = {size: rows[size, "hub"]["stations"] for size in sizes}
    groups = (("in, beside the AEAD", ("in_parse", "in_session", "in_accept")), ("open", ("in_open",)),
              ("limits, policy, deliver, route", ("limit_in", "policy", "in_deliver", "out_route", "limit_out")), ("seal", ("out_seal",)),
              ("wrap", ("out_wrap",)))
    return [(chart.stacked(
        "From peer to peer: cycles a packet by station", "Minimum TSC cycles of the stations, timed apart from the whole way.",
        [(size_name(s), [(words, round(sum(stations[s].get(n, 0) for n in names), 1)) for words, names in groups]) for s in sizes],
        "TSC cycles a packet", left=70),
        (["size", "whole, min", "/ mean of in and out"] + list(stations[sizes[0]]),
         [[size_name(s), rows[s, "hub"]["cycles_min"], rows[s, "hub"]["ratio_one_way"]] + list(stations[s].values())
          for s in sizes]))]


def policy(part):
    found = figures.policy_alone(part)
    if found is None:
        return []
    rows = [row for row in found["results"] if "cycles_min" in row]
    return [(chart.bars("The policy: cycles by what it does", "Minimum TSC cycles a packet.",
                        [(row["what"], row["cycles_min"]) for row in rows], "TSC cycles a packet (min)", left=230),
             (["what", "cycles, min", "cycles, median", "bound"],
              [[row["what"], row["cycles_min"], row["cycles_median"], row.get("bound", "")] for row in rows]))]


def block(part):
    found = output(part)
    if found is None:
        return []
    rows = found["results"]
    return [(chart.bars("Drop lists: cycles by what is listed and asked", "Minimum TSC cycles a packet.",
                        [(row["what"], row["cycles_min"]) for row in rows], "TSC cycles a packet (min)", left=230),
             (["what", "cycles, min", "cycles, median", "bound", "cold, median"],
              [[row["what"], row["cycles_min"], row["cycles_median"], row["bound"], row["cold_cycles_median"]] for row in rows]))]


def overload(part):
    found = output(part)
    if found is None:
        return []
    name = {id(row): size_name(row["size"]) + (", junk" if row["junk"] else "") for row in found["results"]}
    loads = [load["offered"] for load in found["results"][0]["loads"]]
    shown = [row for row in found["results"] if row["size"] in PATH_BOUNDS][:chart.N_COLOURS]
    series = [(name[id(row)], {load["offered"]: load["ratio"] for load in row["loads"]}) for row in shown]
    return [(chart.lines(
        "One worker under overload: goodput in shares of its peak", "Best of the rounds; junk: one frame of five is none of a peer.",
        [(load, f"{load:g} x") for load in loads], "offered load, in multiples of the peak",
        "good frames that come through, in shares of the peak", series, (figures.GOODPUT, "bound: at least")),
        (["size", "peak Mpps"] + [f"{load:g} x: Mpps" for load in loads] + ["longest command, us"],
         [[name[id(row)], row["peak_mpps"]] + [load["goodput_mpps"] for load in row["loads"]] + [row["command_max_us"]]
          for row in found["results"]]))]


MAKERS = {"aead": aead, "path": path, "hub": hub, "policy": policy, "block": block, "scale": scale, "overload": overload, "heavy": heavy, "peers": peers, "handshake": handshake, "cores": cores,
          "network": network, "memory": memory}
