#!/usr/bin/env python3
"""How tools/test counts, and which tests get a second run (tools/lib/count_tests.py). Prints TAP.

usage: test_count.py count_tests.py
"""
import json
import os
import subprocess
import sys
import tempfile

import tap

COUNT = sys.argv[1]


def record(name, result="OK", stdout="ok 1 - a\nok 2 - b\n", **more):
    return {"name": f"weir:{name}", "result": result, "stdout": stdout, **more}


def said(directory, records, *words, second=None):
    for name, rows in (("testlog.json", records), ("again.json", second)):
        if rows is not None:
            with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
                file.writelines(json.dumps(row) + "\n" for row in rows)
    run = subprocess.run([sys.executable, COUNT, *words, os.path.join(directory, "testlog.json")],
                         capture_output=True, text=True, timeout=30, check=False)
    return run.returncode, run.stdout.splitlines()


BAD = {"result": "FAIL", "stdout": "ok 1 - a\nnot ok 2 - b\n"}


def what_failed_by_accident_gets_a_second_run(directory):
    python = "  File \"helper.py\", line 7\nAssertionError: 3 of 4 came\n"
    records = [record("netns / flood", **BAD, stderr=python), record("netns / tap"), record("bench / x", **BAD)]
    assert said(directory, records, "--again") == (0, ["flood", "x"])
    code, lines = said(directory, records, second=[record("netns / flood"), record("bench / x")])
    assert code == 0 and lines[-1] == "6 passed, 0 failed", lines
    assert sum("run again alone" in line for line in lines) == 2, lines


def what_is_no_accident_gets_none(directory):
    report = "==7==ERROR: AddressSanitizer: heap-use-after-free on address 0x0\n"
    for records in ([record("unit / store", **BAD)], [record(f"netns / {i}", **BAD) for i in range(4)],
                    [record("netns / a", "FAIL", BAD["stdout"] + report)],
                    [record("netns / a", **BAD, stderr="# weir did not become ready:\n#   " + report)],
                    [record("netns / a", **BAD, stderr="weir-control: x.c:7: f: Assertion `n > 0' failed.\n")],
                    [record("netns / a", "FAIL", "", stderr="x.c:7:3: runtime error: index 9 out of bounds\n")]):
        assert said(directory, records, "--again") == (0, []), records


def a_crash_without_a_failed_line_counts(directory):
    code, lines = said(directory, [record("unit / a", "FAIL"), record("unit / b", "TIMEOUT", "")])
    assert code == 1 and lines[-1] == "2 passed, 2 failed", lines


for case in tap.cases_of(globals(), "directory"):
    with tempfile.TemporaryDirectory(prefix="weir-test-count-") as place:
        tap.run_case(case.__name__, case, place)
tap.done()
