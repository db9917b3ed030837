#!/usr/bin/env bash
# An endpoint by name, with a real name server (dnsmasq) whose answer changes: the hub calls where the name says, after a
# move without a word of the peer too; keeps what it has when nobody answers; and knows the name after a restart.
# shellcheck source=tests/netns/tap.sh
. "$(dirname "$0")/tap.sh"

require "laboratory comes up" lab_up
# office waits to be called: the hub's address is no endpoint of its client. It lives at .2, and moves to .77.
host=office.peers.example
names=$net_dir/names
mkdir -p "/etc/netns/$net_tag-hub"
echo "nameserver 203.0.113.1" >"/etc/netns/$net_tag-hub/resolv.conf"
says() { # ADDRESS...: the name has these from now on; none: it is not known
	local address
	: >"$names.new"
	for address; do echo "$address $host" >>"$names.new"; done
	mv "$names.new" "$names"
	[ -z "${dns_pid:-}" ] || kill -HUP "$dns_pid"
}
says 198.51.100.2
name_server() {
	: >"$net_dir/dns.log"
	net_spawn internet "$net_dir/dnsmasq.log" dnsmasq --keep-in-foreground --no-resolv --no-hosts \
		--conf-file=/dev/null --pid-file --user=root --listen-address=203.0.113.1 --bind-interfaces \
		--addn-hosts="$names" --local-ttl=1 --local=/peers.example/ --log-queries \
		--log-facility="$net_dir/dns.log"
	dns_pid=$net_pid
	net_wait 10 grep -q "dnsmasq.*: started" "$net_dir/dns.log"
}
require "the name server begins" name_server
asked() { grep -c "query\[A\] $host" "$net_dir/dns.log"; }
asked_more() { [ "$(asked)" -gt "$1" ]; }

# The hub runs where /etc/resolv.conf is the namespace's.
lab_hub_conf
hub_start() {
	: >"$net_dir/hub.log"
	ip netns exec "$net_tag-hub" "$lab_weir" run -c "$lab_conf" >>"$net_dir/hub.log" 2>&1 </dev/null &
	lab_hub_pid=$!
	net_pids+=("$lab_hub_pid")
	net_wait 20 grep -q '^weir: ready' "$net_dir/hub.log"
}
require "hub becomes ready" hub_start

private=$(wg genkey)
(
	umask 077
	lab_cli peer add office --public-key "$(echo "$private" | wg pubkey)" --endpoint "$host:7777" |
		sed "s|^PrivateKey *=.*|PrivateKey = $private\nListenPort = 7777|; /^Endpoint/d; /^PersistentKeepalive/d" >"$net_dir/office-quick.conf"
)
require "office waits to be called" net_wg_quick office office "$net_dir/office-quick.conf"
device=$(net_wg_device office)

field() { # PATH: of weir peer show, as JSON
	lab_cli -o json peer show office | python3 -c '
import json, sys
at = json.load(sys.stdin)["peer"]
for key in sys.argv[1].split("."): at = at[key]
print(at if not isinstance(at, list) else " ".join(at))' "$1"
}
field_is() { is "$(field "$1")" "$2"; }
check "the name is looked up at once" net_wait 10 field_is endpoint_name.addresses 198.51.100.2
check "the endpoint is its address" net_wait 10 field_is endpoint 198.51.100.2:7777
hub_reaches() { net_exec hub ping -q -c 1 -W 1 10.77.0.2; }
check "the hub calls there and reaches office" net_wait 20 hub_reaches
shown() { grep -Eq "by name +$host:7777" < <(lab_cli peer show office); }
check "weir peer show has name and address" shown
listed() { grep -q "198.51.100.2:7777 ($host:7777)" < <(lab_cli peer list); }
check "weir peer list has both, too" listed

# It moves without a word: a new client at another address, with nothing of the old one's sessions.
moves() { # ADDRESS
	net_ip office -4 addr flush dev eth0
	net_ip office addr add "$1/24" dev eth0
	net_ip office route add default via 198.51.100.1
	net_exec office wg set "$device" private-key <(echo "$private")
}
again() { lab_cli peer set office --endpoint "$host:7777"; }
check "office moves" moves 198.51.100.77
says 198.51.100.77
before=$(asked)
# A session that is gone at once; otherwise data that nobody answers wants a handshake after 15 s.
check "the hub has no session with it any more" eval 'lab_cli peer disable office && lab_cli peer enable office'
check "its handshake at the old address has no answer, and the next one goes to the new" net_wait 40 hub_reaches
check "since the name was asked again for it" asked_more "$before"
check "and that is where office is" net_wait 10 field_is endpoint 198.51.100.77:7777

# No name server: what there is stays, is told once, counted and shown.
net_end "$dns_pid"
dns_pid=
says_nothing() { net_wait 30 field_is endpoint_name.failures 1 && net_wait 5 eval '[ "$(lab_counter name_failed)" -ge 1 ]'; }
check "a name server that is gone is a failure" eval 'again; says_nothing'
check "the address stays" eval 'field_is endpoint 198.51.100.77:7777 && hub_reaches'
failed_shown() { grep -q "FAILED" < <(lab_cli peer show office) && grep -q "FAILED" < <(lab_cli peer list); }
check "it is shown" failed_shown
told_once() { is "$(grep -c "endpoint's name has no answer" "$net_dir/hub.log")" 1; }
check "it is told once" told_once
name_server

# The hub's own address is nobody's.
says 203.0.113.2
own() { again && net_wait 10 eval 'field endpoint_name.error | grep "address of the hub" >/dev/null'; }
check "the hub's own address is no answer" own
check "office is still reached" hub_reaches

# Control is killed: the next one knows name and address, and asks at once.
says 198.51.100.77
before=$(asked)
kill -9 "$(lab_pid control)"
back() { lab_cli status && field_is endpoint_name.name "$host:7777"; }
check "the name survives control" net_wait 20 back
check "it is asked at once" net_wait 20 asked_more "$before"
check "office is reached" net_wait 20 hub_reaches
bad() { refused 2 "must be an address or a name with port" lab_cli peer set office --endpoint "1.2.3.4"; }
check "what is neither address nor name is refused" bad
by_address() { lab_cli peer set office --endpoint 198.51.100.77:7777 && is "$(lab_cli -o json peer show office | python3 -c 'import json,sys; print(json.load(sys.stdin)["peer"]["endpoint_name"])')" None && hub_reaches; }
check "an address takes its place" by_address
tap_done
