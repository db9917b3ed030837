#!/usr/bin/env bash
# Runs a test of this folder in a network namespace and a directory of its own, which are gone after it. Prints TAP.
# Usage: in_namespace.sh test_NAME.py EDGE_HOST
set -u -o pipefail

namespace=(unshare --net)

if [ "$(id -u)" -ne 0 ]; then
	# Somebody who may have user namespaces needs no root.
	namespace=(unshare --user --map-root-user --net)
fi
if ! "${namespace[@]}" true 2>/dev/null; then
	if [ "${CI:-}" = true ]; then
		echo "1..1"
		echo "not ok 1 - needs root or user namespaces, to make a network namespace"
		exit 1
	fi
	echo "1..0 # SKIP needs root or user namespaces, to make a network namespace"
	exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Freed memory is kept for a while by ASan; without a limit the memory tests would measure that.
export ASAN_OPTIONS="${ASAN_OPTIONS:-}:quarantine_size_mb=1"
"${namespace[@]}" bash -c 'ip link set lo up && exec python3 "$@"' bash "$1" "$2" "$work"
