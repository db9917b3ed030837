# shellcheck shell=bash
# Network namespaces, links and processes for the demo and the namespace tests. Everything made
# here carries $net_tag in its name and is removed by net_cleanup, which the caller runs from an
# EXIT trap; processes are ended by pid.

net_tag=${net_tag:-w$$}
net_dir=${net_dir:-$(mktemp -d "/tmp/weir-$net_tag.XXXXXX")}
chmod 755 "$net_dir" # control, an ordinary user, keeps its store below; files in it are private
net_namespaces=()
net_pids=()
declare -A net_births=() # by pid: which process it was then

# What net_cleanup needs, noted as it comes into being: for a later shell, which sources it after this file, when
# this one was killed or has left things running on purpose.
net_notes=$net_dir/env

# net_ns NAME: a namespace with loopback up and IPv6 without duplicate address detection.
net_ns() {
	local ns=$net_tag-$1
	echo "net_namespaces+=('$1')" >>"$net_notes" || return 1
	ip netns add "$ns" || return 1
	net_namespaces+=("$1")
	ip -n "$ns" link set lo up
	net_exec "$1" sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0
}

net_exec() {
	local ns=$net_tag-$1
	shift
	ip netns exec "$ns" "$@"
}

# net_ip NAME ARGS: the ip command inside a namespace.
net_ip() {
	local ns=$net_tag-$1
	shift
	ip -n "$ns" "$@"
}

# net_link NS_A IF_A NS_B IF_B: a veth pair, up, offloads off at both ends. With them on, the
# dataplane's af_packet port would see super-packets and unfinished checksums: ping works then,
# TCP and WireGuard do not.
net_link() {
	local a=$1 if_a=$2 b=$3 if_b=$4 side
	ip link add name "$if_a" netns "$net_tag-$a" type veth peer name "$if_b" netns "$net_tag-$b" ||
		return 1
	for side in "$a $if_a" "$b $if_b"; do
		# shellcheck disable=SC2086 # two words on purpose
		net_offloads_off $side || return 1
	done
	net_ip "$a" link set "$if_a" up
	net_ip "$b" link set "$if_b" up
}

# ... | net_has [options of grep] PATTERN: like "grep -q", but what writes into the pipe is read to its end: grep -q
# leaves at the first match, and under pipefail a writer that had more to say (SIGPIPE) then fails the check,
# now and then.
net_has() { [ "$(grep -c "$@")" -gt 0 ]; }

net_offloads_off() {
	net_exec "$1" ethtool -K "$2" tx off >/dev/null 2>&1
	net_exec "$1" ethtool -k "$2" | net_has '^tx-checksumming: off' || {
		echo "error: cannot turn tx offloads off on $2 in $1" >&2
		return 1
	}
}

# net_spawn NAME LOG COMMAND...: run in the background; $net_pid is its pid. It does not get our descriptor 9, the
# demo's lock: that is to end with the demo.
net_spawn() {
	local ns=$1 log=$2
	shift 2
	# No "ip netns exec" in between: $! must be the command itself.
	nsenter --net="/run/netns/$net_tag-$ns" "$@" >>"$log" 2>&1 </dev/null 9>&- &
	net_pid=$!
	net_note_pid "$net_pid"
}

# net_note_pid PID: net_cleanup is to end it.
net_note_pid() {
	net_pids+=("$1")
	net_births[$1]=$(net_birth "$1")
	echo "net_pids+=($1); net_births[$1]=${net_births[$1]}" >>"$net_notes"
}

# net_birth PID: when it began, in ticks since the machine did; nothing when there is none, or it has ended and its
# parent has not heard yet. Pids come again, and not both together.
net_birth() {
	local stat="" fields
	read -r -d '' stat 2>/dev/null <"/proc/$1/stat"
	# behind the name, which may have anything in it, from the third field on
	stat=${stat##*) }
	read -ra fields <<<"$stat"
	[ "${fields[0]-Z}" = Z ] || echo "${fields[19]}"
}

# net_lives PID: and is the process that it was when it was spawned, as far as that is known.
net_lives() {
	local birth
	birth=$(net_birth "$1")
	[ -n "$birth" ] && [ "$birth" = "${net_births[$1]-$birth}" ]
}

# net_end PID: ask to end, then insist. Another process that has got the pid since is left alone.
net_end() {
	local pid=$1 i
	net_lives "$pid" && kill "$pid" 2>/dev/null || return 0
	for i in $(seq 1 60); do
		net_lives "$pid" || break
		[ "$i" -lt 50 ] || kill -9 "$pid" 2>/dev/null
		sleep 0.1
	done
	wait "$pid" 2>/dev/null || true
}

# net_wait SECONDS COMMAND...: until the command succeeds, 20 times a second.
net_wait() {
	local deadline=$(($(date +%s%N) + $1 * 1000000000))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$(date +%s%N)" -lt "$deadline" ] || return 1
		sleep 0.05
	done
}

# net_listening NAME PORT: somebody listens on this TCP port. For net_wait.
net_listening() { net_exec "$1" ss -Hltn "sport = :$2" | net_has .; }

net_cleanup() {
	local pid ns
	for pid in "${net_pids[@]}"; do net_end "$pid"; done
	for ns in "${net_namespaces[@]}"; do
		# whatever was started inside and lost its parent
		for pid in $(ip netns pids "$net_tag-$ns" 2>/dev/null); do
			unset "net_births[$pid]" # whoever that is, it is in here
			net_end "$pid"
		done
		ip netns del "$net_tag-$ns" 2>/dev/null
		rm -rf "/etc/netns/$net_tag-$ns" # what ip netns exec shows in the place of /etc
	done
	rm -rf "$net_dir"
}

# ---- real clients: Debian's wireguard-go and wg -------------------------------------------------

# Interface names are unique in the machine, since wireguard-go's control sockets share a folder.
net_wg_device() { printf 'w%s%s' "${net_tag#w}" "$1" | cut -c1-15; }

# net_wg_up NS ID MTU CONF ADDRESS...: start wireguard-go, load CONF (wg setconf syntax), give it
# addresses. The device's name is net_wg_device ID; $net_pid the process.
net_wg_up() {
	local ns=$1 device mtu=$3 conf=$4
	device=$(net_wg_device "$2")
	shift 4
	LOG_LEVEL=error net_spawn "$ns" "$net_dir/$device.log" wireguard-go -f "$device"
	net_wait 5 test -S "/run/wireguard/$device.sock" || return 1
	net_exec "$ns" wg setconf "$device" "$conf" || return 1
	for address in "$@"; do net_ip "$ns" addr add "$address" dev "$device"; done
	net_ip "$ns" link set "$device" mtu "$mtu" up
}

# net_wg_quick NS ID FILE: bring up a wg-quick file as wg-quick would (which wants resolvconf and
# the like for nothing here): addresses, MTU, keys, routes for the allowed IPs.
net_wg_quick() {
	local ns=$1 id=$2 file=$3 mtu route device addresses
	addresses=$(sed -n 's/^Address *= *//p' "$file" | tr ',' ' ')
	mtu=$(sed -n 's/^MTU *= *//p' "$file")
	grep -vE '^(Address|MTU|DNS|Table|PreUp|PostUp|PreDown|PostDown|SaveConfig) *=' "$file" >"$net_dir/$id.conf"
	# shellcheck disable=SC2086 # words
	net_wg_up "$ns" "$id" "${mtu:-1420}" "$net_dir/$id.conf" $addresses || return 1
	device=$(net_wg_device "$id")
	for route in $(sed -n 's/^AllowedIPs *= *//p' "$file" | tr ',' ' '); do
		net_ip "$ns" route replace "$route" dev "$device"
	done
}
