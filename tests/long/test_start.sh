#!/usr/bin/env bash
# How a hub with many peers starts, and what a check for drift costs it. Root; a minute or two.
#   WEIR_BUILD=build tests/long/test_start.sh [PEERS [PREFIXES_A_PEER]]     (100000 peers with 10 prefixes each)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
if [ -z "${WEIR_LONG_INSIDE:-}" ]; then # a network of its own, gone with the process
	WEIR_LONG_INSIDE=1 exec unshare -n "$0" "$@"
fi
build=$(realpath "${WEIR_BUILD:-$here/../../build}")
peers=${1:-100000}
prefixes=${2:-10}
dir=$(mktemp -d)
pids=()
end() { # signal pid
	kill "-$1" "$2" 2>/dev/null || true
	wait "$2" 2>/dev/null || true
}
finish() {
	for pid in "${pids[@]}"; do end TERM "$pid"; done
	rm -rf "$dir"
}
trap finish EXIT
ip link set lo up
"$here/many_peers.py" "$peers" "$prefixes" "$dir" >"$dir/weir.conf"

n=0
failed=0
# name figure unit bound: the bound is for 100,000 peers with 10 prefixes on the reference machine
tell() {
	local verdict=ok
	n=$((n + 1))
	awk -v f="$2" -v b="$4" 'BEGIN { exit !(f > b) }' && verdict="not ok" failed=1
	echo "$verdict $n - $1: $2 $3 (bound $4)"
}
now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.2f", b - a }'; }
resident_mb() { awk '/VmRSS/ { printf "%d", $2 / 1024 }' "/proc/$1/status"; }
wait_for() { # file text pid
	until grep -q "$2" "$1"; do
		kill -0 "$3" || { cat "$1"; exit 1; }
		sleep 0.05
	done
}
control() {
	: >"$dir/control.log"
	"$build/control/weir-control" -c "$dir/weir.conf" >"$dir/control.log" 2>&1 &
	control=$!
	pids+=("$control")
	wait_for "$dir/control.log" 'ready ms' "$control"
}
# The routes are through when the dataplane's memory has not grown for a second.
dataplane() {
	local memory last=x rest=0 begin=$1
	: >"$dir/dataplane.log"
	"$build/dataplane/weir-dataplane" --socket "$dir/dataplane.sock" >"$dir/dataplane.log" 2>&1 &
	dataplane=$!
	pids+=("$dataplane")
	wait_for "$dir/dataplane.log" 'ready workers' "$dataplane"
	until [ "$rest" -ge 20 ]; do
		sleep 0.05
		memory=$(awk '/VmRSS/ { print $2 }' "/proc/$dataplane/status")
		if [ "$memory" = "$last" ]; then rest=$((rest + 1)); else rest=0 took=$(since "$begin"); fi
		last=$memory
	done
}

begin=$(now)
"$build/control/weir-control" -c "$dir/weir.conf" --check >/dev/null
tell "configuration read and checked" "$(since "$begin")" s 5
begin=$(now)
control
tell "first start of control, from the file" "$(since "$begin")" s 60
end TERM "$control"
begin=$(now)
control
tell "later start of control, file and store" "$(since "$begin")" s 60
tell "memory of control" "$(resident_mb "$control")" MB 600
dataplane "$(now)"
tell "start of the dataplane to the last route" "$took" s 10
tell "memory of the dataplane, no session yet" "$(resident_mb "$dataplane")" MB 250
end KILL "$dataplane"
dataplane "$(now)"
tell "restart of a killed dataplane to the last route" "$took" s 10

# What a check for drift costs, with workers that have nothing else to do (net_null is never idle).
end KILL "$dataplane"
end TERM "$control"
sed -i 's/net_null0/net_ring0/' "$dir/weir.conf"
echo 'policy: { drift_check = 0; drift_repair = false; }; debug: { commands = true; };' >>"$dir/weir.conf"
control
dataplane "$(now)"
tell "policies that could not be compiled" "$(grep -c 'policy not compiled' "$dir/control.log" || true)" "" 0
mapfile -t cost < <("$here/drift_cost.py" "$dir/control.sock" "$dataplane" "$control")
tell "check for drift, nothing found" "${cost[0]:-9999}" ms 3000
tell "  CPU time of the busiest worker (1 % of a minute)" "${cost[1]:-9999}" ms 600
tell "  CPU time of control, with a client that asks" "${cost[2]:-9999}" ms 600
tell "  longest answer of control meanwhile" "${cost[3]:-9999}" ms 10
tell "check for drift, a prefix astray" "${cost[4]:-9999}" ms 3000
tell "  CPU time of the busiest worker" "${cost[5]:-9999}" ms 600
tell "  CPU time of control, with a client that asks" "${cost[6]:-9999}" ms 600
tell "  longest answer of control meanwhile" "${cost[7]:-9999}" ms 10
echo "1..$n"
exit "$failed"
