#!/usr/bin/env bash
# H18: behind a NAT that forgets UDP after 30 s, ten minutes of silence. home has the keepalive that a configuration has
# by default, 25 s: the hub reaches it at once. quiet has none: the hub has lost it. What is sent when all is
# silent, and when it is not; and a NAT that gives another port. 13 minutes; NAT_IDLE_S=60 makes it four.
# This one waits: run starts it beside others that do.
# shellcheck source=tests/netns/tap.sh
. "$(dirname "$0")/../netns/tap.sh"
seen=$net_dir/seen
idle_s=${NAT_IDLE_S:-600}

require "laboratory comes up" lab_up
lab_hub_conf
require "hub becomes ready" lab_hub_start
timeouts() { is "$(net_exec nat sysctl -n net.netfilter.nf_conntrack_udp_timeout)" 30 && is "$(net_exec nat sysctl -n net.netfilter.nf_conntrack_udp_timeout_stream)" 30; }
require "the NAT forgets UDP after 30 s" timeouts
second_behind_nat() {
	net_ns quiet && net_link nat lan1 quiet eth0 || return 1
	net_ip nat addr add 192.168.8.1/24 dev lan1
	net_ip quiet addr add 192.168.8.2/24 dev eth0
	net_ip quiet route add default via 192.168.8.1
}
require "another network behind the NAT" second_behind_nat
net_spawn internet "$net_dir/record.log" python3 "$top/tests/long/wg_seen.py" record nat0 "$seen"
require "who listens is ready" net_wait 10 grep -q ready "$seen"

require "home joins" lab_client home
require "quiet joins, with keepalive 0" lab_client quiet --client-keepalive 0
check "a configuration has PersistentKeepalive = 25 by default" grep -qx "PersistentKeepalive = 25" "$net_dir/home-quick.conf"
off() { ! grep PersistentKeepalive "$net_dir/quiet-quick.conf" >/dev/null; }
check "and none with 0" off
range() {
	lab_cli peer config home --client-keepalive 65535 >"$net_dir/range" && grep -qx "PersistentKeepalive = 65535" "$net_dir/range" &&
		refused 2 "must be 0 to 65535" lab_cli peer config home --client-keepalive 65536 &&
		lab_cli peer config home --client-keepalive 25 >/dev/null
}
check "0 to 65535 are taken" range
# home is 10.77.0.2, quiet 10.77.0.3
require "quiet calls" net_wait 10 pings quiet 10.77.0.1 1
require "the hub reaches both" eval 'net_wait 10 pings hub 10.77.0.2 1 && net_wait 10 pings hub 10.77.0.3 1'
endpoint() { lab_cli -o json peer show "$1" | python3 -c 'import json,sys; print(json.load(sys.stdin)["peer"]["endpoint"])'; }
home=$(endpoint home)
now() { date +%s.%N; }
sent() { python3 "$top/tests/long/wg_seen.py" keepalives "$seen" "$home" "$1" "$2"; }

busy() {
	local from said
	from=$(now)
	pings hub 10.77.0.2 60 1 || return 1
	said=$(sent "$from" "$(now)")
	echo "# busy for 60 s: $said" | tee "$net_dir/busy"
	grep -q '^keepalives 0 ' <<<"$said"
}
check "while packets go both ways there is no keepalive" busy
cat "$net_dir/busy"

from=$(now)
sleep "$idle_s" # what is shown is that time passes
idle() {
	sent "$from" "$(now)" >"$net_dir/idle"
	# shellcheck disable=SC2046 # words
	set -- $(cat "$net_dir/idle")
	python3 -c 'import sys; n, low, high, idle = map(float, sys.argv[1:]); sys.exit(not (n >= idle / 27 - 1 and low >= 23 and high <= 27))' "$2" "$4" "$5" "$idle_s"
}
check "$idle_s s idle: a keepalive of 32 bytes each 25 +- 2 s" idle
sed 's/^/# idle: /' "$net_dir/idle"
silent() { is "$(sed 's/.*others //' "$net_dir/idle")" 0; }
check "and nothing else" silent
first_reply() { net_exec hub ping -c 1 -W 1 10.77.0.2 >"$net_dir/first" && grep -q "1 received" "$net_dir/first"; }
check "the first ping from the hub to home is answered within 1 s" first_reply
sed -n 's/^rtt/# rtt/p' "$net_dir/first"
lost() { ! pings hub 10.77.0.3 5 1; }
check "quiet, without keepalives, cannot be reached" lost

# The NAT forgets home, and gives it another port.
is_at() { is "$(endpoint home)" "$1"; }
moved() { [[ $(endpoint home) == 192.0.2.2:400* ]]; }
forgets() {
	net_exec nat nft 'table ip cut { chain in { type filter hook prerouting priority -400; drop; }; }' &&
		net_exec nat nft flush table ip nat && net_exec nat nft delete table ip nat &&
		net_exec nat nft 'table ip nat { chain post { type nat hook postrouting priority srcnat; oifname "eth0" meta l4proto udp masquerade to :40000-40010; }; }' &&
		sleep 35 # its 30 s
}
check "the NAT forgets both" forgets
check "the hub's picture of home stays" is_at "$home"
before=$(lab_counter drop_replay)
bad_before=$(lab_counter drop_auth)
refused_ones() { [ "$(lab_counter drop_replay)" -gt "$before" ] && [ "$(lab_counter drop_auth)" -gt "$bad_before" ]; }
replayed() {
	net_exec nat python3 "$top/tests/long/wg_seen.py" again "$seen" "$home" 203.0.113.2:51820 40009
	net_wait 5 refused_ones || lab_cli counters --nonzero
	refused_ones
}
check "an old message and a broken one from the new port are refused" replayed
check "and move nobody" is_at "$home"
check "home speaks again" net_exec nat nft delete table ip cut
check "its next keepalive moves it" net_wait 40 moved
check "the hub reaches it there" net_wait 5 pings hub 10.77.0.2 1
found() { grep no-keepalive < <(lab_cli audit policy) | grep "\"\?quiet" >/dev/null; }
check "quiet calls from its new port" net_wait 20 pings quiet 10.77.0.1 1
check "audit: it keeps no NAT open" found
unblamed() { ! grep no-keepalive < <(lab_cli audit policy) | grep home >/dev/null; }
check "home does" unblamed
tap_done
