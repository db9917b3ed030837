#!/usr/bin/env bash
# Part network of bench/run: two stock WireGuard clients (wireguard-go, one behind NAT) that meet
# through weir and, in turn in every round, through a wireguard-go hub on the same machine.
# usage: network.sh ROUNDS SECONDS PINGS; one JSON object on stdout, progress on stderr.
set -u -o pipefail
[ $# -eq 3 ] || {
	echo "network.sh: takes ROUNDS SECONDS PINGS, got \"$*\"" >&2
	exit 2
}
rounds=$1 seconds=$2 pings=$3
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
net_tag=bn$$
# shellcheck source=tools/lib/net.sh
. "$top/tools/lib/net.sh"
# shellcheck source=tools/lib/lab.sh
. "$top/tools/lib/lab.sh"
trap net_cleanup EXIT
trap 'exit 130' INT TERM

fail() {
	echo "network.sh: $*" >&2
	exit 1
}

# How a packet from office gets to home, and the address that takes it there.
declare -A address=([weir]=10.77.0.3 [wireguard-go]=10.78.0.3 [direct]=10.79.0.3)

# A line for network_json.py: tcp VIA ROUND MBIT.
tcp() { # VIA ROUND
	local mbit
	mbit=$(lab_iperf_mbit office "${address[$1]}" "$seconds") || fail "iperf3 through $1 failed"
	printf 'tcp %s %s %s\n' "$1" "$2" "$mbit" >>"$net_dir/lines"
}

# ping VIA ROUND RTT_MS...: 50 a second, so that an idle worker sleeps in between as it would.
ping_rtts() { # VIA ROUND
	net_exec office ping -c "$pings" -i 0.02 "${address[$1]}" >"$net_dir/ping.out" ||
		fail "ping through $1 failed: $(tail -n 2 "$net_dir/ping.out" | head -n 1)"
	printf 'ping %s %s %s\n' "$1" "$2" \
		"$(sed -n 's/.*time=\([0-9.]*\) ms.*/\1/p' "$net_dir/ping.out" | xargs)" >>"$net_dir/lines"
}

echo "starting the hub and its clients" >&2
lab_up || fail "no laboratory"
lab_hub_conf
lab_hub_start || fail "weir does not start"
lab_client office && lab_client home || fail "the clients do not come up"
net_wait 10 net_exec office ping -q -c 1 -W 1 10.77.0.3 || fail "no ping through weir"
lab_reference_hub || fail "the wireguard-go hub does not come up"
lab_direct || fail "the direct tunnel does not come up"
net_spawn home "$net_dir/iperf.log" iperf3 -s
net_wait 5 net_listening home 5201 || fail "iperf3 does not listen"

for ((round = 1; round <= rounds; round++)); do
	echo "round $round of $rounds" >&2
	# who goes first changes from round to round
	order=(weir wireguard-go)
	[ $((round % 2)) -eq 1 ] || order=(wireguard-go weir)
	for via in "${order[@]}"; do tcp "$via" "$round"; done
	for via in "${order[@]}" direct; do ping_rtts "$via" "$round"; done
done
python3 -B "$top/bench/parts/network_json.py" <"$net_dir/lines"
