#!/usr/bin/env python3
"""Compare the layout of the shared region with dataplane/abi/abi.expected.

  expected.py LAYOUT_LIST SOURCE_ROOT [--regenerate]

LAYOUT_LIST is the program made from layout_list.c. Also checked: that it lists every struct and
every enumerator of the shared headers, so that a new one cannot be forgotten.
"""

import difflib
import pathlib
import re
import subprocess
import sys

HEADERS = ("base/base_ip.h", "base/base_tokens.h", "abi/abi_layout.h", "abi/abi_rendezvous.h")
# Private to a process, although they stand in a shared header.
NOT_SHARED = {"abi_fds"}


def without_comments(path):
    return re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.S)


def names_in_headers(dataplane):
    """Structs and enumerators that the listing must name."""
    structs, values = set(), set()
    for header in HEADERS:
        text = without_comments(dataplane / header)
        structs |= set(re.findall(r"^struct (\w+) \{", text, flags=re.M))
    text = without_comments(dataplane / "abi/abi_layout.h")
    for body in re.findall(r"^enum \w+ \{(.*?)\}", text, flags=re.M | re.S):
        values |= set(re.findall(r"\bABI_\w+", body))
    values |= set(re.findall(r"^#define (ABI_\w+)[ \t]+\S", text, flags=re.M))
    return structs - NOT_SHARED, values


def missing(listing, dataplane):
    structs, values = names_in_headers(dataplane)
    listed_structs = set(re.findall(r"^struct (\w+):", listing, flags=re.M))
    listed_values = set(re.findall(r"^(ABI_\w+) = ", listing, flags=re.M))
    return sorted((structs - listed_structs) | (values - listed_values))


def version(listing):
    match = re.search(r"^ABI_VERSION = (\d+)$", listing, flags=re.M)
    return match.group(1) if match else None


def main(program, root, *options):
    dataplane = pathlib.Path(root) / "dataplane"
    expected_path = dataplane / "abi/abi.expected"
    run = subprocess.run([program], stdout=subprocess.PIPE, text=True, check=False)
    if run.returncode != 0:
        return "abi.expected: layout_list.c does not account for every byte, see above"
    forgotten = missing(run.stdout, dataplane)
    if forgotten:
        return "abi.expected: add to tests/unit/abi/layout_list.c: " + ", ".join(forgotten)
    expected = expected_path.read_text() if expected_path.exists() else ""
    if run.stdout == expected:
        return None
    if "--regenerate" in options:
        expected_path.write_text(run.stdout)
        if version(expected) == version(run.stdout):
            print(f"abi.expected: written, ABI_VERSION is still {version(expected)}: right only "
                  "if no program of this version has left this tree, or only counters were added")
        return None
    sys.stderr.writelines(difflib.unified_diff(
        expected.splitlines(True), run.stdout.splitlines(True), "abi.expected", "compiled"))
    return ("abi.expected: layout changed: bump ABI_VERSION and run "
            f"tests/unit/abi/expected.py {program} {root} --regenerate")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
