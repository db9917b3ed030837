#!/usr/bin/env bash
# Part memory of bench/run: what dataplane and control hold in memory, idle without a peer and with
# many peers that the control socket added. usage: memory.sh PEERS; one JSON object on stdout.
set -u -o pipefail
[[ $# -eq 1 && $1 =~ ^[1-9][0-9]*$ ]] || {
	echo "memory.sh: takes PEERS, got \"$*\"" >&2
	exit 2
}
peers=$1
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
net_tag=bm$$
# shellcheck source=tools/lib/net.sh
. "$top/tools/lib/net.sh"
# shellcheck source=tools/lib/lab.sh
. "$top/tools/lib/lab.sh"
trap net_cleanup EXIT
trap 'exit 130' INT TERM

fail() {
	echo "memory.sh: $*" >&2
	exit 1
}

# kB of one process: {"rss": all, "shared": the region and what else both map, "huge": huge pages}
process_kb() {
	awk '/^VmRSS|^RssShmem|^HugetlbPages/ { kb[$1] = $2 }
		END { printf "{\"rss\": %d, \"shared\": %d, \"huge\": %d}",
			kb["VmRSS:"], kb["RssShmem:"], kb["HugetlbPages:"] }' "/proc/$1/status"
}

both_kb() {
	local control dataplane
	control=$(lab_pid control) && dataplane=$(lab_pid dataplane) || return 1
	printf '{"dataplane": %s, "control": %s}' "$(process_kb "$dataplane")" "$(process_kb "$control")"
}

lab_up || fail "no laboratory"
lab_hub_conf
lab_hub_start || fail "weir does not start"
idle=$(both_kb) || fail "weir's processes cannot be read"
net_end "$lab_hub_pid"

# A tunnel net and tables for that many.
LAB_TUNNEL_BITS=10 LAB_DATAPLANE="max_peers = $((peers + 16));"
rm -rf "$net_dir/store" # the pool of addresses is another now
lab_hub_conf
lab_hub_start 60 || fail "weir does not start with max_peers = $((peers + 16))"
empty=$(both_kb) || fail "weir's processes cannot be read"
seconds=$(python3 -B "$top/bench/parts/memory_peers.py" "$lab_run/control.sock" "$peers") ||
	fail "$peers peers could not be added"
full=$(both_kb) || fail "weir's processes cannot be read"
printf '{"idle": %s,\n "room": %s,\n "full": %s,\n "peers": %d, "add_seconds": %s}\n' \
	"$idle" "$empty" "$full" "$peers" "$seconds"
