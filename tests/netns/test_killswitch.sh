#!/usr/bin/env bash
# The kill switch of a generated configuration, with Debian's wg-quick: what a client sends past the
# tunnel is nothing, while the tunnel is up, dead, and (persist) down. W is the outside of home's NAT.
# shellcheck source=tests/netns/tap.sh
. "$(dirname "$0")/tap.sh"

# What W has seen of office, counted by W's own nft.
seen_begin() {
	net_exec nat nft 'add table inet seen; delete table inet seen; table inet seen { counter n { }; chain input { type filter hook input priority -10; ip saddr 198.51.100.2 counter name n; ip6 saddr 2001:db8:2::2 counter name n; }; }'
}
seen() { net_exec nat nft -j list counter inet seen n | python3 -c 'import json,sys; print(json.load(sys.stdin)["nftables"][1]["counter"]["packets"])'; }
# Everything that could leak: ping, TCP, DNS and WireGuard's own port, over both families.
try_all() {
	local w
	for w in 192.0.2.2 2001:db8:3::2; do
		net_exec office ping -q -c 2 -i 0.05 -W 1 "$w"
		net_exec office python3 - "$w" <<'PY'
import socket, sys
w = sys.argv[1]
family = socket.AF_INET6 if ":" in w else socket.AF_INET
for port in (53, 51820, 5000):
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        try:
            s.sendto(b"x", (w, port))
        except OSError:
            pass
with socket.socket(family, socket.SOCK_STREAM) as s:
    s.settimeout(0.2)
    try:
        s.connect((w, 80))
    except OSError:
        pass
PY
	done
	return 0
}
nothing_leaks() {
	seen_begin && try_all
	is "seen $(seen)" "seen 0"
}
everything_passes() {
	seen_begin && try_all
	[ "$(seen)" -ge 12 ] || is "seen $(seen)" "seen 12 or more"
}
quick() { WG_QUICK_USERSPACE_IMPLEMENTATION=wireguard-go LOG_LEVEL=error net_exec office wg-quick "$1" "$net_dir/$device.conf"; }
office_conf() { # OPTION
	lab_cli peer config office "$1" | sed -e "s|^PrivateKey *=.*|PrivateKey = $private|" -e "s|^PresharedKey *=.*|PresharedKey = $preshared|" >"$net_dir/$device.conf"
	chmod 600 "$net_dir/$device.conf"
}

require "laboratory comes up" lab_up
lab_hub_conf
require "hub becomes ready" lab_hub_start
device=$(net_wg_device office)
private=$(wg genkey)
umask 077
require "office is added" eval 'lab_cli peer add office --public-key "$(echo "$private" | wg pubkey)" >"$net_dir/first.conf"'
preshared=$(sed -n 's/^PresharedKey *= *//p' "$net_dir/first.conf")
net_exec office nft 'table inet mine { chain input { type filter hook input priority 0; policy accept; tcp dport 1 drop; }; }'
net_exec office nft list ruleset >"$net_dir/ruleset.before"
check "without a tunnel everything passes" everything_passes

require "a configuration with --kill-switch" office_conf --kill-switch
require "wg-quick up" quick up
check "the tunnel works over IPv4" net_wait 5 pings office 10.77.0.1 1
check "and the hub is reached by IPv6 inside" pings office fd77::1 2
check "nothing goes past the tunnel" nothing_leaks
hub_key=$(net_exec office wg show "$device" peers)
net_exec office wg set "$device" peer "$hub_key" endpoint "[2001:db8:1::2]:51820"
check "the hub's IPv6 address is let out too" net_wait 5 pings office 10.77.0.1 1
net_exec office wg set "$device" peer "$hub_key" endpoint "203.0.113.2:51820"
check "the other table is as it was" eval 'net_exec office nft list table inet mine | diff - "$net_dir/ruleset.before"'
net_end "$lab_hub_pid"
check "with the hub dead, nothing goes past the tunnel" nothing_leaks
check "wg-quick down" quick down
check "and everything passes again" everything_passes
check "the rules are as before" eval 'net_exec office nft list ruleset | diff - "$net_dir/ruleset.before"'

require "hub becomes ready again" lab_hub_start
require "a configuration with --kill-switch-persist" office_conf --kill-switch-persist
require "wg-quick up" quick up
check "the tunnel works" net_wait 5 pings office 10.77.0.1 1
check "nothing goes past the tunnel" nothing_leaks
pid=$(pgrep -f "wireguard-go $device" | head -n 1)
check "the tunnel's process is killed" kill -9 "$pid"
device_gone() { ! net_ip office link show "$device" >/dev/null 2>&1; }
check "its interface is gone" net_wait 5 device_gone
check "and still nothing goes past" nothing_leaks
require "wg-quick up again, behind the switch" quick up
check "the tunnel works again" net_wait 5 pings office 10.77.0.1 1
check "wg-quick down" quick down
check "down, and still nothing goes past" nothing_leaks
check "taken away by hand, everything passes" eval 'net_exec office nft delete table inet "weir_$device" && everything_passes'

# By a name, which the peer resolves when the tunnel comes up. This one needs no resolver and
# no /etc/hosts: weir takes it for a name, getaddrinfo() for an address.
sed -i 's/endpoint = "203.0.113.2:51820"/endpoint = "0x7f000001:51820"/' "$lab_conf"
net_end "$lab_hub_pid"
require "a hub that is told by name" lab_hub_start
require "a configuration with --kill-switch" office_conf --kill-switch
check "a name cannot persist" refused 1 "must be an address" lab_cli peer config office --kill-switch-persist
require "wg-quick up" quick up
check "nothing goes past the tunnel" nothing_leaks
pinned() { net_exec office nft list table inet "weir_$device" | net_has 'ip daddr 127.0.0.1 udp dport 51820 accept\|ip6 daddr ::1 udp dport 51820 accept'; }
check "the name's addresses are let out" pinned
check "wg-quick down" quick down
tap_done
