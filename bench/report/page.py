"""One HTML page of all results: nothing in it comes from elsewhere, so it can be kept and mailed.
As a program: page.py DIR writes DIR/report.html from DIR/*.json."""

import os
import sys
from html import escape

import figures
import plots

HERE = os.path.dirname(os.path.abspath(__file__))

# What each part measures and what it does not show; method and machine in full: bench/README.md.
WORDS = {
    "aead": "Bursts of packets with mixed keys are sealed and opened in memory by each backend, in turn with "
            "ipsec-mb's job API in every round. Shows no parsing, no look-ups, no I/O.",
    "path": "A worker's stations, from parse to deliver (in) and from parse to wrap (out), over frames in memory. "
            "Shows no NIC, no rings between cores, no handshakes, no packets that come cold from memory.",
    "hub": "Frames of one peer are opened, judged and sealed to another by one worker, in memory.",
    "scale": "Peers and allowed IPs by the hundred thousand: what a packet of a random peer costs then, how long they take "
             "to load and how much memory they hold.",
    "overload": "More is offered than a worker can carry. What arrives then should be what arrives at the peak.",
    "heavy": "One peer sends more than its owner's core can seal or open; idle workers run the cipher for it.",
    "policy": "The look-up of known flows in bursts, decisions about new ones and the compiling of grants, without the stations "
              "around them; then what the way from peer to peer costs more with them than without, in the same rounds.",
    "block": "Sources are looked up in drop lists of up to a million prefixes, by bursts of 32 and without the station around it. "
             "Cold: after other memory was walked through all caches.",
    "peers": "The path with packets of more and more peers, taken in turn.",
    "handshake": "The hub as responder, by the protocol alone and through control: rings, tables, one handshake thread, all "
                 "on one core, with the clients' work left out of the time. Shows no network.",
    "cores": "Simulated peers of weir-pktgen send to each other through the hub over a vhost-user socket. Includes copies "
             "into and out of the socket's rings, and all of the generator's own work: at large packets it is the "
             "slower of the two. Where other programs use these cores, a steady pace and high percentiles show them.",
    "network": "Two stock wireguard-go clients, one behind NAT, in network namespaces of one machine. All programs share "
               "its cores, and the clients cost more than either hub: the figures compare hubs, they do not say what a "
               "hub could carry.",
    "memory": "Resident memory as the kernel reports it, of a hub that starts with its defaults, then with room "
              "for many peers, then with them. The peers are idle: they have no sessions.",
}


def table(head, rows):
    def cell(value):
        number = isinstance(value, (int, float))
        return f"<td>{escape(figures.show(value) if number else str(value))}</td>"

    return ("<div class=\"scroll\"><table><thead><tr>" + "".join(f"<th scope=\"col\">{escape(str(h))}</th>" for h in head)
            + "</tr></thead><tbody>"
            + "".join("<tr>" + "".join(cell(value) for value in row) + "</tr>" for row in rows)
            + "</tbody></table></div>")


def figure_table(rows):
    lines = []
    for row in rows:
        css = row.verdict.replace(" ", "") or "plain"
        lines.append(
            f"<tr><td>{escape(row.name)}</td><td>{escape(figures.show(row.value))}</td>"
            f"<td class=\"words\">{escape(row.unit)}</td><td>{escape(figures.bound_text(row))}</td>"
            f"<td class=\"words {css}\">{escape(row.verdict + (': ' + row.note if row.note else ''))}</td></tr>")
    return ("<div class=\"scroll\"><table><thead><tr><th scope=\"col\">figure</th><th scope=\"col\">value</th>"
            "<th></th><th scope=\"col\">bound</th><th scope=\"col\" class=\"words\">verdict</th></tr></thead><tbody>"
            + "".join(lines) + "</tbody></table></div>")


def title_of(svg):
    """A plot's own title, escaped already: shown above it, too."""
    return svg.split("<title", 1)[1].split(">", 1)[1].split("</title>", 1)[0]


def origin(part):
    """When, from what, with which commands."""
    commands = "".join(f"<li><code>{escape(run['command'])}</code> {run['seconds']} s"
                       f"{'' if run['status'] == 'ok' else ' <b>' + escape(run['status'] + ': ' + run['reason']) + '</b>'}</li>"
                       for run in part["runs"])
    when = ""
    if "date" in part:
        core = part["machine"].get("clock_ratio")
        load = part["machine"].get("load")
        when = (f"<p class=\"soft\">{escape(part['date'])}, commit {escape(part['commit'])}"
                f"{' with changes' if part['modified'] else ''}{', quick' if part['quick'] else ''}"
                + (f", core clock {core} x TSC" if core else "")
                + (f", load average before {load}" if load is not None else "") + "</p>")
    return when + (f"<details><summary>commands</summary><ul>{commands}</ul></details>" if commands else "")


def section(name, part):
    body = [f"<section id=\"{name}\"><h2>{escape(figures.TITLES[name])}</h2><p>{escape(WORDS[name])}</p>"]
    if part["status"] != "ok":
        body.append(f"<p><b>{escape(part['status'])}:</b> {escape(figures.why_not(part))}</p>")
    try:
        made = plots.MAKERS[name](part)
    except figures.SHAPE_ERRORS as problem:
        made = []
        body.append(f"<p><b>not shown:</b> its result has another shape: {escape(repr(problem))}</p>")
    for svg, numbers in made:
        body.append(f"<figure><h3>{title_of(svg)}</h3><div class=\"scroll\">{svg}</div><details><summary>numbers</summary>"
                    f"{table(*numbers)}</details></figure>")
    return "".join(body) + origin(part) + "</section>"


def machine(results):
    found = next((part["machine"] for part in results.values() if part.get("machine")), {})
    names = (("cpu", "CPU", ""), ("cpus", "CPUs", ""), ("tsc_ghz", "TSC", " GHz"), ("memory_gb", "memory", " GB"),
             ("kernel", "kernel", ""))
    return "<dl>" + "".join(f"<dt>{words}</dt><dd>{escape(str(found[key]))}{unit}</dd>"
                            for key, words, unit in names if key in found) + "</dl>"


def render(results):
    rows = figures.figures(results)
    with open(os.path.join(HERE, "style.css"), encoding="utf-8") as file:
        css = file.read()
    links = " ".join(f"<a href=\"#{name}\">{name}</a>" for name in figures.TITLES)
    return (
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>weir benchmarks</title>"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><link rel=\"icon\" href=\"data:,\">"
        f"<style>{css}</style></head>\n<body><header><h1>weir benchmarks</h1>"
        f"<p class=\"soft\">{escape(figures.tally(rows))}</p>"
        f"<nav aria-label=\"parts\">{links}</nav></header>\n<main>"
        f"<section id=\"summary\"><h2>Summary</h2><figure><div class=\"scroll\">{plots.headline(rows)}</div></figure>{figure_table(rows)}</section>\n"
        "<section id=\"method\"><h2>Method and machine</h2>"
        "<p>The machines this runs on are shared, and their clocks go up and down. So what is compared runs in turn "
        "within the same rounds, and the ratio is the figure to quote: cycles from two machines or two runs do not "
        "compare, ratios do. Cycles are minima of at least 100 rounds, in cycles of the time stamp counter (TSC); end to "
        "end it is the median of the rounds. How fast a core ran against the TSC stands with each part.</p>"
        f"{machine(results)}</section>\n"
        + "\n".join(section(name, results[name]) for name in figures.TITLES)
        + "</main></body></html>\n")


if __name__ == "__main__":
    if len(sys.argv) != 2 or not os.path.isdir(sys.argv[1]):
        sys.exit("usage: page.py DIR: a folder with the JSON files of bench/run")
    with open(os.path.join(sys.argv[1], "report.html"), "w", encoding="utf-8") as output_file:
        output_file.write(render(figures.load(sys.argv[1])))
