"""Lines of network.sh on stdin ("tcp VIA ROUND MBIT", "ping VIA ROUND RTT_MS...") to one JSON
object on stdout: what each round measured, by way."""

import json
import statistics
import sys


def parse(lines):
    """{"tcp": {via: [Mbit/s of each round]}, "ping": {via: [{median, p90, min, max} in ms]}}"""
    found = {"tcp": {}, "ping": {}}
    for line in lines:
        kind, via, _, *values = line.split()
        numbers = sorted(float(value) for value in values)
        if not numbers:
            raise ValueError(f"no figure in \"{line.strip()}\"")
        found[kind].setdefault(via, []).append(numbers[0] if kind == "tcp" else {
            "min": numbers[0], "median": statistics.median(numbers),
            "p90": numbers[int(0.9 * (len(numbers) - 1))], "max": numbers[-1],
            "n": len(numbers)})
    return found


if __name__ == "__main__":
    json.dump(parse(sys.stdin), sys.stdout, indent=1)
    print()
