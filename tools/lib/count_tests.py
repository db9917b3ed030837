#!/usr/bin/env python3
"""Count test cases in meson's testlog.json files; list what failed; print the closing line.

A TAP test counts each of its lines; any other counts as one. A test whose process failed without
a failed line (crash, time-out, sanitizer report, fewer lines than planned) counts one failure more,
and so does a log that is missing or holds no test. Exit status: 0 when nothing failed.
"""
import json
import re
import sys

OK_LINE = re.compile(r"^(not )?ok\b\s*\d*\s*(.*)$")
GOOD = {"OK", "EXPECTEDFAIL"}


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


def main(logs):
    total_passed, total_failed = 0, 0
    for log in logs:
        n_tests = 0
        try:
            with open(log, encoding="utf-8") as file:
                records = [json.loads(line) for line in file]
        except (OSError, ValueError) as error:
            print(f"FAILED {log}: {error}")
            total_failed += 1
            continue
        for record in records:
            n_tests += 1
            passed, failed, skipped = count(record)
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
    sys.exit(main(sys.argv[1:]))
