#!/usr/bin/env bash
# Limits and quotas of a peer, with stock clients: a peer that is limited each way, its twin that is not, in
# the same run; a quota that ends, survives kills of both processes, and begins anew.
# shellcheck source=tests/netns/tap.sh
. "$(dirname "$0")/tap.sh"

# udp_mbit FROM TO_ADDRESS MBIT: what arrives, Mbit/s of inner packets (28 bytes of header each), one decimal.
udp_mbit() {
	net_exec "$1" iperf3 -c "$2" -u -b "$3M" -l 1200 -t 2 -J >"$net_dir/udp.json" || return 1
	python3 -c '
import json, sys
end = json.load(open(sys.argv[1]))["end"]
arrived = end["sum"]["packets"] - end["sum"]["lost_packets"]
print(round(arrived * 1228 * 8 / end["sum"]["seconds"] / 1e6, 1))' "$net_dir/udp.json"
}
# passes NAME FROM TO_ADDRESS MBIT LEAST MOST: of so many Mbit/s, so many arrive
passes() {
	local arrived
	arrived=$(udp_mbit "$2" "$3" "$4")
	check "$1 ($arrived Mbit/s, wanted $5 to $6)" python3 -c '
import sys
arrived, least, most = map(float, sys.argv[1:])
sys.exit(not least <= arrived <= most)' "$arrived" "$5" "$6"
}
# shown KEY...: of office's limits
shown() {
	lab_cli -o json peer show office | python3 -c '
import json, sys
value = json.load(sys.stdin)["peer"]["limits"]
for key in sys.argv[1:]:
    value = value[key]
print(str(value).lower())' "$@"
}
ping_home() { pings office 10.77.0.3 "${1:-1}"; }
no_ping() { ! net_exec office ping -q -c 2 -i 0.2 -W 1 10.77.0.3 >/dev/null; }

require "laboratory comes up" lab_up
LAB_WORKERS=2 lab_hub_conf
require "hub becomes ready with two workers" lab_hub_start
require "office joins" lab_client office
require "home joins" lab_client home
require "office reaches home" net_wait 5 ping_home
for ns in office home; do
	net_spawn "$ns" "$net_dir/iperf-$ns.log" iperf3 -s
	require "iperf3 listens at $ns" net_wait 5 net_listening "$ns" 5201
done

passes "without limits 30 Mbit/s pass" office 10.77.0.3 30 26 33
check "office may send 10 Mbit/s" lab_cli peer limit office --rx-bytes 10Mbit
passes "10 Mbit/s of 30 pass" office 10.77.0.3 30 7 11
passes "and all of home's to office" home 10.77.0.2 30 26 33
check "the drops are counted for office" is "$(shown drops)" "$(lab_counter drop_limit_rx_bytes)"
check "and there are some" test "$(shown drops)" -gt 500
check "office may be sent 10 Mbit/s" lab_cli peer limit office --rx-bytes 0 --tx-bytes 10Mbit
passes "10 Mbit/s of 30 pass to it" home 10.77.0.2 30 7 11
passes "and all that it sends" office 10.77.0.3 30 26 33
check "200 packets a second" lab_cli peer limit office --tx-bytes 0 --rx-packets 200 --rx-packets-burst 20
passes "200 packets a second pass" office 10.77.0.3 10 1.5 2.1
check "no limits" lab_cli peer limit office --none
passes "30 Mbit/s pass again" office 10.77.0.3 30 26 33

check "a quota of 1 MB" lab_cli peer limit office --quota-rx 1M
check "office reaches home" ping_home 3
# 2.5 MB; its control connection is then cut as well, and it would wait for that.
net_exec office timeout 5 iperf3 -c 10.77.0.3 -u -b 10M -l 1200 -t 2 >/dev/null
check "then nothing passes" no_ping
check "home reaches the hub" pings home 10.77.0.1 1
used=$(shown month rx_used)
check "1 MB was used, and the packet that reached it" test "$used" -ge 1000000 -a "$used" -lt 1001500
check "the rest was dropped for the quota" test "$(lab_counter drop_quota)" -gt 100
check "which is shown" is "$(shown month reached)" true
check "in the list too" eval 'lab_cli peer list | grep "^office .*quota reached"'
check "and told" net_wait 3 eval 'lab_cli events | net_has "office  quota reached"'
check "and logged" net_wait 3 grep -q "quota reached peer=" "$net_dir/hub.log"
for process in control dataplane; do
	pid=$(lab_pid "$process")
	kill -9 "$pid"
	check "$process comes back after kill -9" net_wait 15 restarted "$process" "$pid"
	check "home reaches the hub" net_wait 15 pings home 10.77.0.1 1
	check "not a byte was forgotten" is "$(shown month rx_used)" "$used"
	check "and nothing passes" no_ping
done
pids=("$(lab_pid control)" "$(lab_pid dataplane)")
kill -9 "${pids[@]}"
check "both come back after kill -9 of both at once" net_wait 20 pings home 10.77.0.1 1
check "what was stored a second before is known" is "$(shown month rx_used)" "$used"
check "and nothing passes, though all counters began anew" no_ping
check "the quota begins anew" lab_cli quota reset office
check "office reaches home again" net_wait 5 ping_home 3
check "a quota that makes no sense is refused" eval '! lab_cli peer limit office --quota 2Ei 2>"$net_dir/refused"'
check "naming field and range" grep -q "quota.*2Ei.*must be" "$net_dir/refused"
tap_done
