#!/usr/bin/env python3
"""Count test cases in meson's testlog.json files; list what failed; print the closing line.

    count_tests.py LOG...          the count
    count_tests.py --again LOG     which of its tests deserve a second run alone, a name a line

A TAP test counts each of its lines; any other counts as one. A test whose process failed without
a failed line (crash, time-out, sanitizer report, fewer lines than planned) counts one failure more,
and so does a log that is missing or holds no test. Exit status: 0 when nothing failed.

Tests in namespaces and of speed need the machine, which belongs to strangers too: a few of them that failed may be run
again alone, into again.json beside the log. What passes there counts as passed, and a line says that it failed
first. All other tests, many failures at once and whatever a sanitizer reported get no second run.
"""
import json
import os
import re
import sys

OK_LINE = re.compile(r"^(not )?ok\b\s*\d*\s*(.*)$")
GOOD = {"OK", "EXPECTEDFAIL"}
AGAIN_NAME = re.compile(r"^[^:]*:(?:netns|bench) / (.*)$")
AGAIN_MAX = 3
NO_ACCIDENT = re.compile(r"Sanitizer|runtime error:|core dumped|Assertion `")  # the last of assert(3)


def count(record):
    """(passed, list of failed names, skipped) of one meson test record."""
    passed, failed, skipped = 0, [], []
    for line in record.get("stdout", "").splitlines():
        match = OK_LINE.match(line)
        if not match:
            continue
        name = match.group(2).lstrip("- ")
        if re.search(r"#\s*skip", name, re.IGNORECASE):
            skipped.append(name)
        elif match.group(1):
            failed.append(name)
        else:
            passed += 1
    bad = record["result"] not in GOOD and record["result"] != "SKIP"
    if passed == 0 and not failed and not skipped:
        passed = 0 if bad else 1
    if bad and not failed:
        failed.append(f"({record['result'].lower()})")
    return passed, failed, skipped


def read(log):
    with open(log, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def again(log):
    """Print the names of the tests that may be run again; nothing when one of them all may not."""
    failed = [record for record in read(log) if count(record)[1]]
    names = [AGAIN_NAME.match(record["name"]) for record in failed]
    if len(failed) > AGAIN_MAX or not all(names) \
            or any(NO_ACCIDENT.search(record.get("stdout", "") + record.get("stderr", "")) for record in failed):
        return 0
    for name in names:
        print(name.group(1))
    return 0


def read_again(log):
    """Records of the second run by name; none when there was none."""
    path = os.path.join(os.path.dirname(log), "again.json")
    return {record["name"]: record for record in read(path)} if os.path.exists(path) else {}


def main(logs):
    total_passed, total_failed = 0, 0
    for log in logs:
        n_tests = 0
        try:
            records, second = read(log), read_again(log)
        except (OSError, ValueError) as error:
            print(f"FAILED {log}: {error}")
            total_failed += 1
            continue
        for record in records:
            n_tests += 1
            passed, failed, skipped = count(record)
            if failed and record["name"] in second:
                for name in failed:
                    print(f"failed at first {record['name']}: {name} (run again alone)")
                passed, failed, skipped = count(second[record["name"]])
            total_passed += passed
            total_failed += len(failed)
            for name in failed:
                print(f"FAILED {record['name']}: {name}")
            for name in skipped:
                print(f"skipped {record['name']}: {name}")
        if n_tests == 0:
            print(f"FAILED {log}: no test ran")
            total_failed += 1
    print(f"{total_passed} passed, {total_failed} failed")
    return 1 if total_failed else 0


if __name__ == "__main__":
    sys.exit(again(sys.argv[2]) if sys.argv[1:2] == ["--again"] else main(sys.argv[1:]))
