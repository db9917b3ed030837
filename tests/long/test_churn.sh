#!/usr/bin/env bash
# Peers that come and go by the thousand disturb nobody: five times 1000 are added and removed while office pings home
# 100 times a second, each of three ways (churn.py). Not one ping is lost. The bound of 2 s is for a thousand at once,
# however they are told: by wg(8) in one transaction, or by requests that do not wait for each other. Who waits for each
# answer waits for the disk 2000 times besides: 2 s are for the rest of it.
# shellcheck source=tests/netns/tap.sh
. "$(dirname "$0")/../netns/tap.sh"

device=wl$$
LAB_WG_SOCKET=read-write LAB_HUB="tunnel_device = \"$device\"; preshared_key = \"optional\";" LAB_TUNNEL_BITS=16 \
	LAB_DATAPLANE="max_peers = 4096;" hub_with_two

churn() { # WAY
	local figures
	net_spawn office "$net_dir/ping-$1" ping -i 0.01 -W 1 10.77.0.3
	local ping_pid=$net_pid
	net_exec hub "$top/tests/long/churn.py" "$1" "$lab_run/control.sock" "$(lab_pid control)" "$device" >"$net_dir/churn" || return 1
	ping_end "$ping_pid" "$net_dir/ping-$1" || return 1
	figures=$(tail -n 1 "$net_dir/churn")
	read -r took cpu disk <<<"$figures"
}
at_most() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a != "" && a <= b) }' || is "$1" "at most $2"; }

for way in wg together loop; do
	require "$way: 1000 peers come and go, five times" churn "$way"
	grep '^#' "$net_dir/churn"
	check "$way: $ping_lost of $ping_sent pings lost (bound 0)" is "$ping_lost" 0
	if [ "$way" = loop ]; then
		rest=$(awk -v t="$took" -v d="$disk" 'BEGIN { printf "%.2f", (t > d) ? t - d : 0 }')
		check "loop: added and removed in $took s (median), $rest s but for the disk (bound 2 s), control's CPU $cpu s" at_most "$rest" 2
	else
		check "$way: added and removed in $took s (median; bound 2 s), control's CPU $cpu s" at_most "$took" 2
	fi
done
check "every packet is accounted for" net_wait 3 balance
rm -f "/var/run/wireguard/$device.sock"
tap_done
