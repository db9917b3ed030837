#!/usr/bin/env bash
# The edge against real clients and a real backend, in a network namespace of its own. Prints TAP.
# Usage: test_edge.sh EDGE_HOST
set -u -o pipefail

here=$(cd "$(dirname "$0")" && pwd)
host=$1
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
"${namespace[@]}" bash -c 'ip link set lo up && exec python3 "$@"' bash \
	"$here/test_edge.py" "$host" "$work"
