#!/usr/bin/env bash
# Part cores of bench/run: a hub on one core and weir-pktgen on another, joined by a vhost-user socket,
# so that no kernel is between them. For each size: what arrives at full speed (the socket's rings hold
# the generator back, so the slower of the two sets the pace), the highest rate at a steady pace without
# loss, what packets wait at shares of full speed, and what arrives when more is offered: multiples of
# full speed up and down, SWEEPS times, a tenth of a second each.
# usage: cores.sh SECONDS PEERS TRIALS SWEEPS SIZE...; one JSON object on stdout, progress on stderr.
set -u -o pipefail
[ $# -ge 5 ] || {
	echo "cores.sh: takes SECONDS PEERS TRIALS SWEEPS SIZE..., got \"$*\"" >&2
	exit 2
}
seconds=$1 peers=$2 trials=$3 sweeps=$4
shift 4
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
net_tag=bc$$
# shellcheck source=tools/lib/net.sh
. "$top/tools/lib/net.sh"
# shellcheck source=tools/lib/lab.sh
. "$top/tools/lib/lab.sh"
trap net_cleanup EXIT
trap 'exit 130' INT TERM
pktgen=$lab_build/tools/pktgen/weir-pktgen

fail() {
	tail -n 5 "$net_dir/hub.log" >&2
	echo "cores.sh: $*" >&2 # last: it is the reason that is shown
	exit 1
}

# The generator on the second of the CPUs that we may use, the hub's worker on the first.
mapfile -t cpus < <(python3 -c 'import os; print(*sorted(os.sched_getaffinity(0))[:2], sep="\n")')
[ "${#cpus[@]}" -eq 2 ] || fail "needs two CPUs, has ${#cpus[@]}"

net_ns hub && net_ns gen || fail "no namespaces"
LAB_TUNNEL_BITS=15
LAB_DATAPLANE="cores = [ ${cpus[0]} ]; max_peers = $((peers + 16));"
LAB_IDLE=busy
LAB_PORT="driver = \"vdev\"; device = \"net_vhost0,iface=$net_dir/vhost.sock,queues=1\";"
LAB_EXTRA=$("$pktgen" config --peers "$peers") || fail "weir-pktgen makes no configuration"
LAB_HUB='preshared_key = "optional";' lab_hub_conf
lab_hub_start 30 || fail "weir does not start"
hub_key=$(wg pubkey <"$net_dir/hub.key") || fail "no key of the hub"

# The hub's ring is as long as weir makes that of a NIC. A search needs a longer one: it must hold what
# comes while the machine runs something else for a millisecond.
RING=1024 LONG_RING=4096

generate() { # COMMAND ARGS...
	local command=$1 ring=$RING
	shift
	[ "$command" != search ] || ring=$LONG_RING
	net_exec gen "$pktgen" "$command" --hub 203.0.113.2:51820 --source 203.0.113.100/24 --hub-key "$hub_key" \
		--port "net_virtio_user0,path=$net_dir/vhost.sock,queues=1,queue_size=$ring,mac=02:00:00:00:00:02" --queue "$ring" \
		--peers "$peers" --core "${cpus[1]}" --pattern ring --time "$seconds" --json "$@"
}

# The best rate of the trials at full speed that were printed so far.
full_speed() {
	python3 -c 'import json, sys
print(max(json.load(open(f))["trials"][0]["received_pps"] for f in sys.argv[1:]))' "$net_dir"/full-*.json
}

# The overload of a size, in as few runs of the generator as take all sweeps.
RUN_SWEEPS=8

steps() { # SWEEPS: up and down so many times
	local i list=""
	for ((i = 0; i < $1; i++)); do list+=,1,2,4,8,8,4,2,1; done
	echo "${list#,}"
}

pktgen_said() { tail -n 1 "$net_dir/pktgen.err"; }

joined() { # FILE...: their texts, with commas
	local file comma=""
	for file in "$@"; do
		printf '%s%s' "$comma" "$(cat "$file")"
		comma=,
	done
}

# One member: "SIZE": {"full": [...], "loss": [...], "search": ..., "latency": [{"share": of full speed,
# "trial": ...}]}, each with what pktgen printed.
measure() { # SIZE
	local size=$1 rate share i
	rm -f "$net_dir"/{full,loss,latency}-*.json
	for ((i = 1; i <= trials; i++)); do
		echo "$size: full speed, $i of $trials" >&2
		generate traffic --size "$size" --rate max --open-every 8 --quiet \
			>"$net_dir/full-$i.json" 2>"$net_dir/pktgen.err" || fail "full speed at $size bytes: $(pktgen_said)"
	done
	rate=$(full_speed)
	for ((i = 0; i < sweeps; i += RUN_SWEEPS)); do
		echo "$size: overload of $rate pps, $i of $sweeps sweeps done" >&2
		generate loss --size "$size" --rate "${rate%.*}pps" --time 0.1 --open-every 8 --quiet \
			--steps "$(steps $((sweeps - i < RUN_SWEEPS ? sweeps - i : RUN_SWEEPS)))" \
			>"$net_dir/loss-$i.json" 2>"$net_dir/pktgen.err" || fail "overload at $size bytes: $(pktgen_said)"
	done
	for share in 0.1 0.3 0.6; do
		echo "$size: latency at $share of $rate pps" >&2
		{
			printf '{"share": %s, "trial": ' "$share"
			generate traffic --size "$size" --rate "$(python3 -c "print(int($rate * $share))")pps" --quiet \
				2>"$net_dir/pktgen.err" || fail "latency at $size bytes: $(pktgen_said)"
			printf '}'
		} >"$net_dir/latency-$share.json" || exit 1
	done
	echo "$size: search" >&2
	generate search --size "$size" --loss 0.1 --resolution 5 --open-every 8 --max-rate "${rate%.*}pps" \
		>"$net_dir/search.json" || echo null >"$net_dir/search.json" # no rate passed
	printf '"%s": {"full": [%s],\n"loss": [%s],\n"search": %s,\n"latency": [%s]}\n' "$size" \
		"$(joined "$net_dir"/full-*.json)" "$(joined "$net_dir"/loss-*.json)" "$(cat "$net_dir/search.json")" "$(joined "$net_dir"/latency-*.json)"
}

comma=""
{
	printf '{'
	for size in "$@"; do
		printf '%s' "$comma"
		measure "$size" || exit 1
		comma=,
	done
	printf '}\n'
} >"$net_dir/result.json" || exit 1
cat "$net_dir/result.json"
