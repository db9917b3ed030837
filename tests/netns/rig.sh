# shellcheck shell=bash
# The spokes of the zero-trust tests, over tap.sh: one hub and, each in a namespace on the "internet" with a
# stock WireGuard client,
#
#   laptop 10.77.0.2   app 10.77.0.3   metrics 10.77.0.4   collector 10.77.0.5 (behind NAT)
#   gate   10.77.0.6, with lan (192.168.50.2) and other (192.168.60.2) behind it
#
# Their AllowedIPs are the whole tunnel net (and the gateway's), so that it is the hub that refuses.
# spoke.py sends and listens for them.

rig_spokes=(laptop app metrics collector gate)
declare -A rig_ip=([hub]=10.77.0.1 [laptop]=10.77.0.2 [app]=10.77.0.3 [metrics]=10.77.0.4 [collector]=10.77.0.5 [gate]=10.77.0.6)

LAB_HUB="peer_to_peer = false;"

rig_up() {
	local ns n=10
	for ns in internet hub nat "${rig_spokes[@]}" lan other; do net_ns "$ns" || return 1; done
	net_exec internet sysctl -qw net.ipv4.ip_forward=1
	lab_wire hub wan0 hub0 203.0.113 2001:db8:1 || return 1
	lab_behind_nat collector || return 1
	for ns in laptop app metrics gate; do
		lab_wire "$ns" eth0 "${ns}0" "198.51.$n" "2001:db8:$n" || return 1
		lab_leaf_address "$ns" eth0 "198.51.$n" "2001:db8:$n"
		n=$((n + 1))
	done
	rig_lan lan 192.168.50 && rig_lan other 192.168.60
}

rig_lan() { # NS NET: a network behind the gateway
	net_link gate "$1" "$1" eth0 || return 1
	net_ip gate addr add "$2.1/24" dev "$1"
	net_ip "$1" addr add "$2.2/24" dev eth0
	net_ip "$1" route add default via "$2.1"
	net_exec gate sysctl -qw net.ipv4.ip_forward=1
}

# rig_join NS [OPTION...]: a peer of that name, and its client.
rig_join() {
	local device
	lab_client "$@" --whole-subnet || return 1
	device=$(net_wg_device "$1")
	net_wait 10 rig_handshaken "$1" || return 1
	net_exec "$1" nft "table inet seen { counter n { }; counter errors { }; chain input { type filter hook input priority -10; iifname $device counter name n; iifname $device icmp type destination-unreachable counter name errors; }; }"
}
rig_join_all() {
	local ns
	for ns in "${rig_spokes[@]}"; do rig_join "$ns" || return 1; done
}
rig_handshaken() { net_exec "$1" wg show "$(net_wg_device "$1")" latest-handshakes | net_has -v '	0$'; }

# seen NS [errors]: packets, or ICMP errors, that have come to it out of the tunnel.
seen() { net_exec "$1" nft list counter inet seen "${2:-n}" | awk '$1 == "packets" { print $2 }'; }

spoke() { # NS VERB...: of spoke.py
	local ns=$1
	shift
	net_exec "$ns" python3 "$top/tests/netns/spoke.py" "$@"
}
serve() { # NS PORT...: echo, until the end
	local ns=$1
	shift
	net_spawn "$ns" "$net_dir/$ns-serve.log" python3 "$top/tests/netns/spoke.py" serve "$@"
	net_wait 5 net_listening "$ns" "${*: -1}"
}

# reach NS PROTO:TO:PORT=SAYS...: all at once. A refused connection says refused, a dropped one is silent.
reach() {
	local ns=$1 what rest words=()
	shift
	for what; do
		rest=${what#*:}
		words+=("${what%%:*}:${rig_ip[${rest%%:*}]:-${rest%%:*}}:${rest#*:}")
	done
	spoke "$ns" reach "${words[@]}"
}
echoes() { pings "$1" "${rig_ip[$2]:-$2}" 2 0.05; }
no_echo() { ! net_exec "$1" ping -q -c 2 -i 0.05 -W 0.3 "${rig_ip[$2]:-$2}"; }

# drops [PREFIX]: the sum of all counters that begin so.
drops() { lab_cli counters --nonzero | awk -v prefix="^${1:-drop_}" '$1 ~ prefix { n += $2 } END { print n + 0 }'; }
peer_drops() { lab_cli peer show "$1" | awk '$1 == "dropped" { print $2 }'; }

# unheard BY NS COMMAND...: the command's packets, BY in all, are dropped by the hub and counted against
# their sender laptop, and NS hears nothing of them.
unheard() {
	local by=$1 ns=$2 heard before peer_before
	shift 2
	heard=$(seen "$ns") before=$(drops) peer_before=$(peer_drops laptop)
	"$@" || return 1
	net_wait 2 drops_are $((before + by)) || is "drops $(($(drops) - before))" "drops $by" || return 1
	is "heard $(seen "$ns")" "heard $heard" || return 1
	net_wait 2 peer_drops_are laptop $((peer_before + by)) ||
		is "laptop's drops $(($(peer_drops laptop) - peer_before))" "laptop's drops $by"
}
drops_are() { [ "$(drops)" = "$1" ]; }
peer_drops_are() { [ "$(peer_drops "$1")" = "$2" ]; }

rig_in_force() { lab_cli status | net_has '^policy .* in force'; } # every worker uses the policy; for net_wait
grant() { lab_cli grant add "$@"; }
ungrant() { lab_cli grant remove "$1"; }

# ---- what flows while a right is taken away -----------------------------------------------------------

rig_now() { date +%s.%N; }
rig_drink() { # NS FROM PORT: what "spoke.py stream" sends, a line for each 20 ms with the time into $net_dir/drink
	net_spawn "$1" "$net_dir/drink.err" python3 "$top/tests/netns/spoke.py" drink "${rig_ip[$2]}" "$3" "$net_dir/drink"
}
rig_ping() { # NS TO: every 10 ms, each reply a line with its time in $net_dir/ping-NS
	net_spawn "$1" "$net_dir/ping-$1" ping -D -n -i 0.01 "${rig_ip[$2]}"
}
rig_sip() { # HOST: a download of what is published there, from the internet, likewise into $net_dir/sip
	net_spawn internet "$net_dir/curl.err" sh -c "curl -sS -N -k --resolve $1:443:203.0.113.2 https://$1/ | python3 $top/tests/netns/spoke.py sip $net_dir/sip"
}
rig_flowing() { # FILE...: they grow
	local file lines
	for file; do
		lines=$(wc -l <"$file")
		net_wait 3 eval '[ $(wc -l <"'"$file"'") -gt '$((lines + 5))' ]' || is "$file grows not" "$file grows"
	done
}
# rig_stopped FILE SINCE: nothing in it is more than a second younger, though we wait for half a second more.
rig_stopped() {
	net_wait 3 later "$2" 1.5
	awk -v since="$2" '{ sub(/^\[/, ""); if ($0 ~ /^[0-9.]+ [0-9]+$/ || / bytes from /) last = $1 + 0 }
		END { printf "last %.3f s after the answer\n", last - since; exit !(last > 0 && last - since <= 1) }' "$1"
}
