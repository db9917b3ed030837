#!/usr/bin/env python3
"""The page of bench/run, made of the results beside this file (a real run, cut short) and opened in
headless Chromium: the plots are there, with the points of the results, nothing lies on top of
anything else, and nothing comes from elsewhere. argv: the tree."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

from tap import check, done, run_cases, skip

TOP = sys.argv[1]
RESULTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results")
PAGE = os.path.join(TOP, "bench", "report", "page.py")
sys.path.insert(0, os.path.dirname(PAGE))
import goodput  # noqa: E402 (from the tree under test)

# Run in the page: what a reader would see, as far as a program can tell.
LOOK = r"""<script>
const seen = {charts: [], marks: [], overlaps: [], outside: [], names: []};
for (const svg of document.querySelectorAll("svg.chart")) {
	const box = svg.getBoundingClientRect(), title = svg.querySelector("title").textContent;
	seen.charts.push({title, width: box.width, height: box.height});
	const id = svg.getAttribute("aria-labelledby").split(" ").map(i => document.getElementById(i).textContent);
	seen.names.push(id.join(" "));
	const texts = [...svg.querySelectorAll("text")].map(t => [t.textContent, t.getBoundingClientRect()]);
	texts.forEach(([a, p], i) => {
		if (p.left < box.left - 1 || p.right > box.right + 1 || p.top < box.top - 1 || p.bottom > box.bottom + 1)
			seen.outside.push(title + ": " + a);
		for (const [b, q] of texts.slice(i + 1))
			if (p.left < q.right - 1 && q.left < p.right - 1 && p.top < q.bottom - 3 && q.top < p.bottom - 3)
				seen.overlaps.push(title + ": " + a + " / " + b);
	});
	for (const mark of svg.querySelectorAll("[data-series]")) {
		const m = mark.getBoundingClientRect();
		seen.marks.push([title, mark.dataset.series, mark.dataset.x, mark.dataset.y]);
		if (m.left < box.left || m.right > box.right || m.top < box.top || m.bottom > box.bottom || m.width == 0)
			seen.outside.push(title + ": mark " + mark.dataset.series + " " + mark.dataset.x);
	}
}
seen.wide = document.documentElement.scrollWidth > window.innerWidth;
const out = document.createElement("pre");
out.id = "seen";
out.textContent = JSON.stringify(seen);
document.body.append(out);
</script></body>"""


def make(folder):
    for name in os.listdir(RESULTS):
        shutil.copy(os.path.join(RESULTS, name), folder)
    subprocess.run([sys.executable, "-B", PAGE, folder], check=True, timeout=60)
    with open(os.path.join(folder, "report.html"), encoding="utf-8") as file:
        return file.read()


def browse(browser, folder, page, width):
    """What LOOK saw in a window of this width."""
    path = os.path.join(folder, "look.html")
    with open(path, "w", encoding="utf-8") as file:
        file.write(page.replace("</body>", LOOK))
    done_ = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/profile",
         f"--window-size={width},900", "--dump-dom", "file://" + path],
        capture_output=True, text=True, timeout=90, check=False)
    found = re.search(r'<pre id="seen">(.*?)</pre>', done_.stdout, re.DOTALL)
    assert found, f"nothing was seen: {done_.stderr[-500:]}"
    return json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


def result(name):
    with open(os.path.join(RESULTS, name + ".json"), encoding="utf-8") as file:
        return json.load(file)


def points(seen, start):
    """{(series, x): y} of the plots whose title starts so."""
    return {(series, x): float(y) for title, series, x, y in seen["marks"] if title.startswith(start)}


def every_plot_is_there_and_has_room(page, seen):
    titles = [chart["title"] for chart in seen["charts"]]
    for wanted in ("Figures beside", "AEAD, seal: cycles", "AEAD, open: cycles", "AEAD, seal, avx512: ratio",
                   "Way out (seal): cycles a packet by station", "Way in (open): cycles beside", "TCP from", "Ping from",
                   "Resident memory"):
        assert any(title.startswith(wanted) for title in titles), f"{wanted} is not in {titles}"
    assert all(chart["width"] > 300 and chart["height"] > 60 for chart in seen["charts"]), seen["charts"]


def points_of_lines_are_those_of_the_results(page, seen):
    found = points(seen, "AEAD, seal: cycles")
    expected = {(run["arguments"]["backend"], str(row["size"])): row["cycles_min"]
                for run in result("aead")["runs"] if run["arguments"]["burst"] == 32
                for row in run["output"]["results"] if row["direction"] == "seal"}
    assert expected and found == expected, f"{found}\nexpected {expected}"


def segments_are_the_stations(page, seen):
    found = points(seen, "Way in (open): cycles a packet")
    run = next(run for run in result("path")["runs"] if run["arguments"]["peers"] == 256)
    row = next(row for row in run["output"]["results"] if (row["size"], row["direction"]) == (64, "open"))
    assert {name: found[name, "64 B"] for name in row["stations"]} == row["stations"], found


def segments_of_the_hub_path_sum_up_to_its_stations(page, seen):
    found = points(seen, "From peer to peer")
    row = next(r for r in result("hub")["runs"][0]["output"]["results"] if (r["size"], r["direction"]) == (64, "hub"))
    assert abs(sum(y for (_, x), y in found.items() if x == "64 B") - sum(row["stations"].values())) < 0.3, found


def dots_are_the_rounds(page, seen):
    found = points(seen, "TCP from")
    rounds = result("network")["runs"][0]["output"]["tcp"]
    for via, label in (("weir", "through weir"), ("wireguard-go", "through wireguard-go")):
        expected = {(label, str(i + 1)): value for i, value in enumerate(rounds[via])}
        assert expected.items() <= found.items(), f"{found}\nexpected {expected}"
        assert (label, "median") in found, found


def bars_are_the_handshakes(page, seen):
    found = points(seen, "Handshakes a second")
    expected = {("value", "handshake, through control"): row["per_second_best"]
                for row in result("handshake")["runs"][0]["output"]["results"] if row["what"] == "control"}
    assert expected and expected.items() <= found.items(), f"{found}\nexpected {expected}"


def percentiles_are_those_of_the_generator(page, seen):
    found = points(seen, "Latency by percentile")
    for size, label in (("64", "64 B"), ("1420", "1420 B")):
        trial = next(t for t in result("cores")["runs"][0]["output"][size]["latency"] if t["share"] == 0.3)
        expected = trial["trial"]["trials"][0]["latency_us"]
        for name in ("p50", "p90", "p99", "p99.9", "max"):
            assert found[label, name] == expected[name], f"{label} {name}: {found}"


def goodput_is_in_shares_of_the_peak(page, seen):
    found = points(seen, "Goodput under overload")
    for size, label in (("64", "64 B"), ("1420", "1420 B")):
        expected = {(label, str(multiple)): share
                    for multiple, share in goodput.shares(result("cores")["runs"][0]["output"][size]).items()}
        assert expected and {key: y for key, y in found.items() if key[0] == label} == expected, f"{found}\nexpected {expected}"


def lines_are_the_shares_of_the_peak_of_one_worker(page, seen):
    found = points(seen, "One worker under overload")
    expected = {("64 B" + (", junk" if row["junk"] else ""), str(load["offered"])): load["ratio"]
                for row in result("overload")["runs"][0]["output"]["results"] for load in row["loads"]}
    assert expected and found == expected, f"{found}\nexpected {expected}"


def bars_are_the_cycles_with_few_and_many_peers(page, seen):
    found = sorted(points(seen, "Packets with few").values())
    output = result("scale")["runs"][0]["output"]
    assert found == sorted(round(row[key], 1) for row in output["packets"] for key in ("few_min", "many_min")), found


def lines_are_the_speed_ups_of_a_heavy_peer(page, seen):
    found = points(seen, "One peer")
    expected = {(row["way"], str(row["size"])): row["speedup"] for row in result("heavy")["runs"][0]["output"]["results"]}
    assert expected and found == expected, f"{found}\nexpected {expected}"


def bounds_that_are_missed_are_marked(page, seen):
    found = {x: (series, y) for (series, x), y in points(seen, "Figures beside").items()}
    assert found["path, 64 B, seal: ratio to ipsec-mb"][0] == "met", found
    run = next(run for run in result("path")["runs"] if run["arguments"]["peers"] == 256)
    cycles = next(row["cycles_min"] for row in run["output"]["results"]
                  if (row["size"], row["direction"]) == (64, "open"))
    assert found["path, 64 B, open: cycles a packet"] == ("missed", round(cycles / 200, 3)), found


def no_label_lies_on_another_and_none_is_cut_off(page, seen):
    assert not seen["overlaps"], "\n".join(seen["overlaps"])
    assert not seen["outside"], "\n".join(seen["outside"])


def the_page_is_no_wider_than_its_window(page, seen):
    assert not seen["wide"]


def plots_have_names_for_those_who_do_not_see_them(page, seen):
    assert len(set(seen["names"])) == len(seen["charts"]) and all(len(n) > 30 for n in seen["names"]), seen["names"]


def nothing_comes_from_elsewhere(page, seen):
    assert "://" not in re.sub(r"<code>.*?</code>", "", page), "an address"
    for reference in re.findall(r'(?:src|href|srcset|action|data)\s*=\s*"([^"]*)"', page):
        assert reference.startswith("#") or reference == "data:,", reference
    for word in ("<script", "<img", "<iframe", "<object", "<link rel=\"stylesheet", "@import", "url("):
        assert word not in page, word


def a_part_that_was_not_run_is_named_with_the_reason(page, seen):
    assert "<b>not run:</b> left out of this run" in page


def words_from_results_are_no_markup(page, seen):
    with tempfile.TemporaryDirectory() as folder:
        evil = result("memory") | {"status": "failed", "reason": "<script>x</script>", "runs": []}
        with open(os.path.join(folder, "memory.json"), "w", encoding="utf-8") as file:
            json.dump(evil, file)
        subprocess.run([sys.executable, "-B", PAGE, folder], check=True, timeout=60)
        with open(os.path.join(folder, "report.html"), encoding="utf-8") as file:
            text = file.read()
        assert "<script" not in text and "&lt;script&gt;x" in text


def a_result_of_another_shape_is_said_and_the_rest_is_shown(page, seen):
    with tempfile.TemporaryDirectory() as folder:
        other = result("network")
        other["runs"][0]["output"] = {"unknown": 1}
        for name, text in (("network", other), ("memory", result("memory"))):
            with open(os.path.join(folder, name + ".json"), "w", encoding="utf-8") as file:
                json.dump(text, file)
        subprocess.run([sys.executable, "-B", PAGE, folder], check=True, timeout=60)
        with open(os.path.join(folder, "report.html"), encoding="utf-8") as file:
            text = file.read()
        assert "another shape: KeyError" in text and "Resident memory" in text


with tempfile.TemporaryDirectory(prefix="weir-page.") as folder_:
    chromium = shutil.which("chromium")
    made = make(folder_)
    without = [nothing_comes_from_elsewhere, a_part_that_was_not_run_is_named_with_the_reason,
               words_from_results_are_no_markup, a_result_of_another_shape_is_said_and_the_rest_is_shown]
    run_cases(without, made, None)
    if chromium is None:
        skip("plots in headless Chromium", "chromium is not installed")
    else:
        wide = browse(chromium, folder_, made, 1100)
        run_cases([every_plot_is_there_and_has_room, points_of_lines_are_those_of_the_results,
                   segments_are_the_stations, segments_of_the_hub_path_sum_up_to_its_stations, dots_are_the_rounds,
                   bars_are_the_handshakes, percentiles_are_those_of_the_generator, goodput_is_in_shares_of_the_peak,
                   lines_are_the_shares_of_the_peak_of_one_worker,
                   bars_are_the_cycles_with_few_and_many_peers, lines_are_the_speed_ups_of_a_heavy_peer, bounds_that_are_missed_are_marked,
                   no_label_lies_on_another_and_none_is_cut_off, the_page_is_no_wider_than_its_window,
                   plots_have_names_for_those_who_do_not_see_them], made, wide)
        narrow = browse(chromium, folder_, made, 500)
        check("the page is no wider than a narrow window", "scrolls sideways" if narrow["wide"] else None)
done()
