# shellcheck shell=bash
# The laboratory of the demo and the namespace tests, over net.sh:
#
#   office ---------+                       +--- nat ------- home
#   198.51.100.2    |                       |  192.0.2.2     192.168.7.2
#                 internet (router) --------+
#                   |  203.0.113.1 = the browser's address
#   hub  203.0.113.2, WAN port wan0; tunnel net 10.77.0.0/24 and fd77::/64
#
# Every WAN link is IPv4 and IPv6 (2001:db8:N::/64). nat masquerades IPv4 and forgets UDP flows soon.

lab_build=${WEIR_BUILD:-$top/build}
lab_weir=$lab_build/tools/weir
lab_run=$net_dir/run
lab_conf=$net_dir/weir.conf
LAB_WRAP=()

lab_wire() { # lab_wire NS IF ROUTER_IF V4_NET V6_NET: one leg of the internet
	net_link internet "$3" "$1" "$2" || return 1
	net_ip internet addr add "$4.1/24" dev "$3"
	net_ip internet addr add "$5::1/64" dev "$3" nodad
}

lab_leaf_address() { # NS IF V4_NET V6_NET: address .2 and default routes
	net_ip "$1" addr add "$3.2/24" dev "$2"
	net_ip "$1" addr add "$4::2/64" dev "$2" nodad
	net_ip "$1" route add default via "$3.1"
	net_ip "$1" -6 route add default via "$4::1"
}

lab_up() {
	local ns
	for ns in internet hub office nat home; do net_ns "$ns" || return 1; done
	net_exec internet sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1

	lab_wire hub wan0 hub0 203.0.113 2001:db8:1 || return 1 # addresses go to weir's TAP
	lab_wire office eth0 office0 198.51.100 2001:db8:2 || return 1
	lab_leaf_address office eth0 198.51.100 2001:db8:2
	lab_behind_nat home
}

# lab_behind_nat NS: reaches the internet through nat, which masquerades.
lab_behind_nat() {
	net_exec nat sysctl -qw net.ipv4.ip_forward=1
	lab_wire nat eth0 nat0 192.0.2 2001:db8:3 || return 1
	lab_leaf_address nat eth0 192.0.2 2001:db8:3
	net_link nat lan0 "$1" eth0 || return 1
	net_ip nat addr add 192.168.7.1/24 dev lan0
	net_ip "$1" addr add 192.168.7.2/24 dev eth0
	net_ip "$1" route add default via 192.168.7.1
	net_exec nat nft 'table ip nat { chain post { type nat hook postrouting priority srcnat; oifname "eth0" masquerade; }; }' || return 1
	net_exec nat sysctl -qw net.netfilter.nf_conntrack_udp_timeout="${LAB_NAT_UDP_TIMEOUT:-30}" \
		net.netfilter.nf_conntrack_udp_timeout_stream="${LAB_NAT_UDP_TIMEOUT:-30}" 2>/dev/null || true
}

# lab_hub_conf: write the configuration; LAB_WORKERS, LAB_PORT, LAB_TUNNEL_BITS, LAB_EXTRA (more text)
# and the like change it. Everybody reaches everybody, unless LAB_HUB says peer_to_peer = false.
lab_hub_conf() {
	local forward="peer_to_peer = true;"

	[[ ${LAB_HUB:-} != *peer_to_peer* ]] || forward=""
	mkdir -p "$lab_run"
	cat >"$lab_conf" <<EOF
hub: {
	listen_port = 51820;
	private_key_file = "$net_dir/hub.key";
	tunnel = [ "10.77.0.1/${LAB_TUNNEL_BITS:-24}", "fd77::1/64" ];
	endpoint = "203.0.113.2:51820";
	$forward
	${LAB_HUB:-}
};
dataplane: {
	workers = ${LAB_WORKERS:-1};
	idle = "${LAB_IDLE:-adaptive:100}";
	${LAB_DATAPLANE:-}
};
ports: (
	{ name = "wan0"; ${LAB_PORT:-driver = \"af_packet\"; device = \"wan0\";}
	  addresses = [ "203.0.113.2/24", "2001:db8:1::2/64" ];
	  gateways = [ "203.0.113.1", "2001:db8:1::1" ]; }
);
control: {
	run_dir = "$lab_run";
	store = "$net_dir/store/weir.db";
	log_level = "${LAB_LOG_LEVEL:-info}";
	wg_socket = "${LAB_WG_SOCKET:-off}"; # its name is the machine's, not the namespace's
};
edge: {
	https = [ "203.0.113.2:443" ];
	http = [ "203.0.113.2:80" ];
};
${LAB_EXTRA:-}
EOF
}

# lab_hub_start: start weir in the hub namespace; returns when it is ready. lab_hub_pid is the supervisor.
# LAB_WRAP (an array) goes in front of the command.
lab_hub_start() {
	: >"$net_dir/hub.log"
	net_spawn hub "$net_dir/hub.log" "${LAB_WRAP[@]}" "$lab_weir" run -c "$lab_conf"
	lab_hub_pid=$net_pid
	net_wait "${1:-10}" grep -q '^weir: ready' "$net_dir/hub.log" || {
		echo "# weir did not become ready:" >&2
		sed 's/^/#   /' "$net_dir/hub.log" >&2
		return 1
	}
}

# The CLI of the hub.
lab_cli() { WEIR_SOCKET=$lab_run/control.sock "$lab_weir" "$@"; }

# lab_counter NAME: its value now; nothing when the hub does not answer.
lab_counter() { lab_cli counters | awk -v name="$1" '$1 == name { n = $2 } END { if (NR > 0) print n + 0 }'; }

# lab_client NS: make a peer named after the namespace (key made on the client, as one should) and
# bring it up with Debian's wireguard-go.
lab_client() {
	local ns=$1 private
	shift
	private=$(wg genkey)
	(
		umask 077
		lab_cli peer add "$ns" --public-key "$(echo "$private" | wg pubkey)" "$@" |
			sed "s|^PrivateKey *=.*|PrivateKey = $private|" >"$net_dir/$ns-quick.conf"
	) || return 1
	net_wg_quick "$ns" "$ns" "$net_dir/$ns-quick.conf"
}

# lab_client_refresh NS: give its client the AllowedIPs that grants connect it with now, and their routes.
lab_client_refresh() {
	local ns=$1 device route ips
	device=$(net_wg_device "$ns")
	ips=$(lab_cli peer config "$ns" | sed -n 's/^AllowedIPs *= *//p' | tr -d ' ')
	[ -n "$ips" ] && net_exec "$ns" wg set "$device" peer "$(net_exec "$ns" wg show "$device" peers)" allowed-ips "$ips" || return 1
	net_ip "$ns" route flush dev "$device"
	net_ip "$ns" -6 route flush dev "$device"
	for route in ${ips//,/ }; do net_ip "$ns" route replace "$route" dev "$device" || return 1; done
}

lab_pid() { # lab_pid control|dataplane: of the running hub, from weir status
	lab_cli -o json status | python3 -c 'import json,sys; print(json.load(sys.stdin)[sys.argv[1]]["pid"])' "$1"
}

lab_rss_kb() { awk '/^VmRSS/ {print $2}' "/proc/$1/status"; }

# lab_iperf_mbit NS ADDRESS SECONDS: TCP goodput of one stream, whole Mbit/s.
lab_iperf_mbit() {
	net_exec "$1" iperf3 -J -c "$2" -t "$3" >"$net_dir/iperf.json" || return 1
	python3 -c 'import json,sys; print(round(json.load(open(sys.argv[1]))["end"]["sum_received"]["bits_per_second"]/1e6))' "$net_dir/iperf.json"
}

# ---- what weir is compared with ------------------------------------------------------------------

lab_private_keys() { # PREFIX NAME...: $net_dir/PREFIX-NAME.key, readable for us alone
	local prefix=$1 name
	shift
	for name in "$@"; do (umask 077 && wg genkey >"$net_dir/$prefix-$name.key") || return 1; done
}

lab_public_key() { wg pubkey <"$net_dir/$1.key"; } # PREFIX-NAME

lab_peer() { # PREFIX-NAME ALLOWED_IPS [ENDPOINT]: a [Peer] section
	printf '[Peer]\nPublicKey = %s\nAllowedIPs = %s\n' "$(lab_public_key "$1")" "$2"
	[ $# -lt 3 ] || printf 'Endpoint = %s\nPersistentKeepalive = 25\n' "$3"
}

lab_interface() { # PREFIX-NAME [PORT]: an [Interface] section
	printf '[Interface]\nPrivateKey = %s\n' "$(cat "$net_dir/$1.key")"
	[ $# -lt 2 ] || printf 'ListenPort = %s\n' "$2"
}

# lab_reference_hub: the same two clients and the same machine, but wireguard-go as the hub: a second
# device at each client, a hub in a namespace beside ours. home is 10.78.0.3 then.
lab_reference_hub() {
	net_ns refhub && lab_wire refhub eth0 ref0 192.0.99 2001:db8:4 &&
		lab_leaf_address refhub eth0 192.0.99 2001:db8:4 || return 1
	net_exec refhub sysctl -qw net.ipv4.ip_forward=1
	lab_private_keys ref refhub office home || return 1
	(
		umask 077
		{
			lab_interface ref-refhub 51820
			lab_peer ref-office 10.78.0.2/32
			lab_peer ref-home 10.78.0.3/32
		} >"$net_dir/ref-refhub.conf"
		for ns in office home; do
			{
				lab_interface "ref-$ns"
				lab_peer ref-refhub 10.78.0.0/24 192.0.99.2:51820
			} >"$net_dir/ref-$ns.conf"
		done
	) || return 1
	net_wg_up refhub refh 1420 "$net_dir/ref-refhub.conf" 10.78.0.1/24 &&
		net_wg_up office refo 1420 "$net_dir/ref-office.conf" 10.78.0.2/24 &&
		net_wg_up home refm 1420 "$net_dir/ref-home.conf" 10.78.0.3/24 &&
		net_wait 5 net_exec office ping -q -c 1 -W 1 10.78.0.3
}

# lab_direct: office and home joined without any hub, which is the least that two wireguard-go clients
# cost. home, behind NAT, calls; it is 10.79.0.3 then.
lab_direct() {
	lab_private_keys direct office home || return 1
	(
		umask 077
		{
			lab_interface direct-office 51830
			lab_peer direct-home 10.79.0.3/32
		} >"$net_dir/direct-office.conf"
		{
			lab_interface direct-home
			lab_peer direct-office 10.79.0.2/32 198.51.100.2:51830
		} >"$net_dir/direct-home.conf"
	) || return 1
	net_wg_up office diro 1420 "$net_dir/direct-office.conf" 10.79.0.2/24 &&
		net_wg_up home dirm 1420 "$net_dir/direct-home.conf" 10.79.0.3/24 &&
		net_wait 5 net_exec home ping -q -c 1 -W 1 10.79.0.2
}
