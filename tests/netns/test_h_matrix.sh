#!/usr/bin/env bash
# Who reaches whom: H1 (inner sources), H2 (the other direction), H6 (least privilege, stateful), H7 (default
# drop), H8 (the hub's own ports). Every refusal has its positive twin in the same run.
# shellcheck source=tests/netns/tap.sh
. "$(dirname "$0")/tap.sh"
# shellcheck source=tests/netns/rig.sh
. "$(dirname "$0")/rig.sh"

require "spokes and hub are wired" rig_up
lab_hub_conf
require "hub becomes ready" lab_hub_start
join_all() { for ns in "${rig_spokes[@]}"; do rig_join "$ns" || return 1; done; }
require "five clients shake hands" join_all
serve laptop 443 && serve app 22 443 5432 && serve collector 9090 && serve hub 53 8443
hub=${rig_ip[hub]} a=${rig_ip[laptop]} b=${rig_ip[app]} c=${rig_ip[metrics]}

# ---- H7, H8: an empty policy --------------------------------------------------------------------------

check "H7: nobody has granted anything" eval 'lab_cli grant list | grep -q "no grants"'
ports="src=$a,dst=$b,proto=tcp,sport=50000,dport=1-1000"
check "H7: a scan of 1000 ports of app hears nothing, counted to the packet" unheard 1000 app spoke laptop send "$ports"
check "H7: neither open ports nor UDP nor echo" eval 'tcp laptop app 443 silent && udp laptop app 443 silent && no_echo laptop app'
check "H8: a scan of the hub's own address, counted to the packet" unheard 1000 app \
	spoke laptop send "src=$a,dst=$hub,proto=tcp,sport=50000,dport=1-1000"
check "H8: what listens there is silent, and no echo" eval 'tcp laptop hub 8443 silent && udp laptop hub 53 silent && no_echo laptop hub'
check "H8: nor do its WAN addresses answer through the tunnel" eval 'lab_hub_wan_silent() { ! spoke laptop tcp 203.0.113.2 8443 | grep -q open; }; lab_hub_wan_silent'
check "the hub itself opens connections to its peers" tcp hub app 443 open

# ---- H6: the matrix -----------------------------------------------------------------------------------

require "two grants and two for the hub" eval '
	grant web --who peer:laptop --to peer:app --protocol tcp --ports 443 &&
	grant scrape --who peer:metrics --to peer:collector --protocol tcp --ports 9090 &&
	grant dns --who any --to hub --protocol udp --ports 53 &&
	grant console --who peer:laptop --to hub --protocol tcp --ports 8443'
check "H6: laptop -> app:443" net_wait 2 tcp laptop app 443 open
check "H6: metrics -> collector:9090" tcp metrics collector 9090 open
check "H6: not laptop -> app:22" tcp laptop app 22 silent
check "H6: not laptop -> app:5432" tcp laptop app 5432 silent
check "H6: not laptop -> app:443 over UDP" udp laptop app 443 silent
check "H6: not metrics -> app" eval 'tcp metrics app 443 silent && udp metrics app 443 silent && no_echo metrics app'
check "H6: not metrics -> laptop" tcp metrics laptop 443 silent
check "H6: not app -> laptop, from where it is reached" eval 'tcp app laptop 443 silent && tcp laptop app 443 open'
check "H6: not collector -> metrics" tcp collector metrics 9090 silent
check "H6: an ACK without its SYN" unheard 1 app spoke laptop send "src=$a,dst=$b,proto=tcp,sport=50001,dport=443,flags=A"
check "H6: a RST and a FIN of no connection" unheard 2 app \
	spoke laptop send "src=$a,dst=$b,proto=tcp,sport=50001,dport=443,flags=R" "src=$a,dst=$b,proto=tcp,sport=50001,dport=443,flags=FA"
check "H6: unsolicited echo, and an echo reply to nothing" unheard 2 app \
	spoke laptop send "src=$a,dst=$b,proto=icmp,type=8" "src=$a,dst=$b,proto=icmp,type=0"
check "H6: a protocol without ports" unheard 1 app spoke laptop send "src=$a,dst=$b,proto=47"
check "H6: a later fragment of an unknown datagram" unheard 1 app \
	spoke laptop send "src=$a,dst=$b,proto=tcp,dport=443,id=901,offset=1480"
check "H6: fragments of a refused datagram, both" unheard 2 app \
	spoke laptop send "src=$a,dst=$b,proto=udp,dport=443,id=902,more=1" "src=$a,dst=$b,proto=udp,dport=443,id=902,offset=1480"

# An ICMP error about a connection that is open reaches its opener, one about none does not.
hold_open() { # a connection of laptop from port 41000, for a while
	net_spawn laptop "$net_dir/hold.log" python3 -c '
import socket, threading
s = socket.socket(); s.bind(("", 41000)); s.connect(("'"$b"'", 443)); threading.Event().wait()'
	hold_pid=$net_pid
	net_wait 3 eval 'net_exec app ss -Htn state established "( sport = :443 )" | grep -q 41000'
}
require "a connection is held open" hold_open
error="src=$b,dst=$a,quote=1,from=$b,proto=tcp,dport=443"
icmp_heard() { net_exec laptop nft -j list counter inet seen icmp | python3 -c 'import json,sys; print(json.load(sys.stdin)["nftables"][1]["counter"]["packets"])'; }
net_exec laptop nft "add counter inet seen icmp; add rule inet seen input ip protocol icmp counter name icmp"
heard_error() { # SPORT BY
	local before
	before=$(icmp_heard)
	spoke app send "$error,sport=$1" || return 1
	[ "$2" = 0 ] || net_wait 2 eval '[ "$(icmp_heard)" = '$((before + $2))' ]'
	is "errors $(($(icmp_heard) - before))" "errors $2"
}
check "H6: fragmentation needed about an open connection reaches laptop" heard_error 41000 1
check "H6: one about a connection that there is not does not" heard_error 41001 0
net_end "$hold_pid"

require "echo is granted" grant ping --who peer:laptop --to peer:app --protocol icmp
check "H6: now laptop -> app echoes" net_wait 2 echoes laptop app
check "H6: and app -> laptop does not" no_echo app laptop
check "H6: large pings pass in fragments" net_exec laptop ping -q -c 3 -i 0.05 -W 1 -s 4000 "$b"

check "H8: of the hub's ports laptop reaches the granted two" eval 'tcp laptop hub 8443 open && udp laptop hub 53 open'
check "H8: and no third" eval 'tcp laptop hub 53 silent && no_echo laptop hub'
check "H8: metrics reaches one" eval 'udp metrics hub 53 open && tcp metrics hub 8443 silent'

# ---- H1: the inner source is the sender's own ---------------------------------------------------------

check "H1: laptop's own pings pass before" echoes laptop app
spoof() { # NAME SOURCE
	check "H1: source $1" unheard 2 app spoke laptop send \
		"src=$2,dst=$b,proto=tcp,dport=443" "src=$2,dst=$b,proto=icmp"
}
spoof "of the hub" "$hub"
spoof "of another spoke" "$c"
spoof "of nobody in the tunnel net" 10.77.0.99
spoof "outside" 192.0.2.9
spoof "of loopback" 127.0.0.1
spoof "multicast" 224.0.0.5
check "H1: first and later fragments from another's address" unheard 2 app spoke laptop send \
	"src=$c,dst=$b,proto=udp,dport=443,id=5,more=1" "src=$c,dst=$b,proto=udp,dport=443,id=5,offset=1480"
burst() { spoke laptop send "src=$c,dst=$b,proto=icmp,count=100" && pings laptop "$b" 5; }
check "H1: a hundred, and genuine pings meanwhile" eval '
	before=$(lab_counter drop_inner_source)
	burst && net_wait 2 counter_is drop_inner_source $((before + 100))'

# What no kernel sends, from a client of our own.
wg genkey >"$net_dir/raw.key"
raw_up() {
	lab_cli peer add raw --no-preshared-key --public-key "$(wg pubkey <"$net_dir/raw.key")" >"$net_dir/raw.conf" &&
		grant raw-ping --who peer:raw --to hub --protocol icmp
}
require "a raw client is a peer with a grant" raw_up
raw() {
	net_exec laptop "$lab_build/tests/netns/rawpeer" -k "$net_dir/raw.key" -p "$(sed -n 's/^PublicKey *= *//p' "$net_dir/raw.conf")" \
		-e 203.0.113.2:51820 "$@"
}
me=10.77.0.7
check "H1: its own ping is answered" raw handshake ping "$me $hub" expect-reply
raw_packet() { # COUNTER PACKET
	grows "$1" 1 raw handshake send "$(spoke laptop hex "$2")" silence 100
}
check "H1: source 0.0.0.0" raw_packet drop_inner_source "src=0.0.0.0,dst=$hub,proto=icmp"
check "H1: inner length larger than the payload" raw_packet drop_inner_length "src=$me,dst=$hub,proto=icmp,longer=100"
check "H1: IP version 5" raw_packet drop_inner_header "src=$me,dst=$hub,proto=icmp,version=5"
check "H1: its own ping is answered still" raw handshake ping "$me $hub" expect-reply

# ---- H2: what is for nobody goes nowhere --------------------------------------------------------------

check "H2: what the hub sends to an address of nobody is dropped" eval '
	before=$(lab_counter sealed)
	grows drop_no_route 1 net_exec hub ping -q -c 1 -W 0.2 10.77.0.99
	[ "$(lab_counter drop_no_route)" -gt 0 ]'
require "an address moves to another peer" eval '
	lab_cli peer remove collector 2>&1 | grep -q "grant \"scrape\"" && ungrant scrape && lab_cli peer remove collector &&
	lab_cli peer remove raw 2>/dev/null; ungrant raw-ping; lab_cli peer remove raw &&
	lab_cli peer add second --no-preshared-key --allowed-ips 10.77.0.5/32 --public-key "$(wg pubkey <"$net_dir/raw.key")" >"$net_dir/raw.conf"'
me=10.77.0.5
check "H2: the next packet reaches the new one alone" eval '
	grant second-ping --who peer:second --to hub --protocol icmp
	heard=$(seen collector); raw handshake ping "$me $hub" expect-reply && is "collector heard $(($(seen collector) - heard))" "collector heard 0"'

check "every packet is accounted for" net_wait 3 balance
tap_done
