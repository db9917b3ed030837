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
require "five clients shake hands" rig_join_all
serve laptop 443 && serve app 22 443 5432 && serve collector 9090 && serve hub 53 8443
hub=${rig_ip[hub]} a=${rig_ip[laptop]} b=${rig_ip[app]} c=${rig_ip[metrics]}
from_a() { # PACKET...: laptop sends to app
	local words=() packet
	for packet; do words+=("src=$a,dst=$b,$packet"); done
	spoke laptop send "${words[@]}"
}

# ---- H7, H8: an empty policy --------------------------------------------------------------------------

check "H7: nobody has granted anything" eval 'lab_cli grant list | net_has "no grants"'
check "H7: a scan of 1000 ports of app hears nothing, counted to the packet" unheard 1000 app \
	from_a proto=tcp,sport=50000,dport=1-1000
check "H7: refusals have a line in the log" net_wait 3 \
	grep -q "wg-drop: .*peer=laptop src=$a dst=$b proto=tcp sport=50000 dport=1 reason=" "$net_dir/hub.log"
check "H8: a scan of the hub's own address, counted to the packet" unheard 1000 app \
	spoke laptop send "src=$a,dst=$hub,proto=tcp,sport=50000,dport=1-1000"
check "H7, H8: what listens on app and on the hub is silent" reach laptop tcp:app:443=silent udp:app:443=silent \
	tcp:hub:8443=silent udp:hub:53=silent
check "H7, H8: and no echo" eval 'no_echo laptop app && no_echo laptop hub'
check "the hub itself opens connections to its peers" reach hub tcp:app:443=open

# ---- H6: the matrix -----------------------------------------------------------------------------------

four_grants() {
	grant web --who peer:laptop --to peer:app --protocol tcp --ports 443 &&
		grant scrape --who peer:metrics --to peer:collector --protocol tcp --ports 9090 &&
		grant dns --who any --to hub --protocol udp --ports 53 &&
		grant console --who peer:laptop --to hub --protocol tcp --ports 8443 && net_wait 3 rig_in_force
}
require "two grants between spokes, and two for the hub" four_grants
check "H6: laptop reaches app:443, not :22, not :5432, not by UDP" reach laptop tcp:app:443=open tcp:app:22=silent \
	tcp:app:5432=silent udp:app:443=silent
check "H8: of the hub's ports laptop reaches the granted two" reach laptop tcp:hub:8443=open udp:hub:53=open tcp:hub:53=silent \
	udp:hub:8443=silent
check "H6, H8: metrics reaches collector:9090 and the hub's 53, nothing else" reach metrics tcp:collector:9090=open \
	udp:hub:53=open tcp:hub:8443=silent tcp:app:443=silent udp:app:443=silent tcp:laptop:443=silent
check "H6: nobody is reached from where it is allowed to" reach app tcp:laptop:443=silent tcp:collector:9090=silent
check "H6: no echo" eval 'no_echo laptop app && no_echo metrics app && no_echo laptop hub'
check "H6: ACK, RST and FIN of no connection" unheard 3 app from_a proto=tcp,sport=50001,dport=443,flags=A \
	proto=tcp,sport=50001,dport=443,flags=R proto=tcp,sport=50001,dport=443,flags=FA
check "H6: unsolicited echo, and an echo reply to nothing" unheard 2 app from_a proto=icmp,type=8 proto=icmp,type=0
check "H6: a protocol without ports" unheard 1 app from_a proto=47
check "H6: a later fragment of an unknown datagram" unheard 1 app from_a proto=tcp,dport=443,id=901,offset=1480
check "H6: fragments of a refused datagram, both" unheard 2 app from_a proto=udp,dport=443,id=902,more=1 \
	proto=udp,dport=443,id=902,offset=1480

# An ICMP error about a connection that is open reaches its opener, one about none does not.
hold_open() { # a connection of laptop from port 41000
	net_spawn laptop "$net_dir/hold.log" python3 -c "
import socket, threading
with socket.create_connection(('$b', 443), source_address=('', 41000)):
    threading.Event().wait()"
	hold_pid=$net_pid
	net_wait 3 held
}
held() { net_exec app ss -Htn state established "( sport = :443 )" | net_has ':41000'; }
heard_error() { # SPORT BY
	local before
	before=$(seen laptop errors)
	spoke app send "src=$b,dst=$a,quote=1,from=$b,proto=tcp,dport=443,sport=$1" || return 1
	[ "$2" = 0 ] || net_wait 2 errors_are $((before + $2))
	is "errors $(($(seen laptop errors) - before))" "errors $2"
}
errors_are() { [ "$(seen laptop errors)" = "$1" ]; }
require "a connection is held open" hold_open
check "H6: fragmentation needed about no connection does not reach laptop" heard_error 41001 0
check "H6: about the open one it does" heard_error 41000 1
net_end "$hold_pid"

require "echo is granted" grant ping --who peer:laptop --to peer:app --protocol icmp
check "H6: now laptop -> app echoes" net_wait 2 echoes laptop app
check "H6: and app -> laptop does not" no_echo app laptop
check "H6: large pings pass in fragments" net_exec laptop ping -q -c 3 -i 0.05 -W 1 -s 4000 "$b"

# ---- H1: the inner source is the sender's own ---------------------------------------------------------

spoofed="$hub $c 10.77.0.99 192.0.2.9 127.0.0.1 224.0.0.5"
spoof_all() { # two packets from each
	local words=() source
	for source in $spoofed; do words+=("src=$source,dst=$b,proto=tcp,dport=443" "src=$source,dst=$b,proto=icmp"); done
	spoke laptop send "${words[@]}"
}
spoof_fragments() { spoke laptop send "src=$c,dst=$b,proto=udp,dport=443,id=5,more=1" "src=$c,dst=$b,proto=udp,dport=443,id=5,offset=1480"; }
spoof_many() { spoke laptop send "src=$c,dst=$b,proto=icmp,count=100" && pings laptop "$b" 5; }
check "H1: laptop's own pings pass before" echoes laptop app
check "H1: sources of the hub, a spoke, nobody, outside, loopback, multicast" unheard 12 app spoof_all
check "H1: first and later fragments" unheard 2 app spoof_fragments
check "H1: a hundred, and genuine pings meanwhile" grows drop_inner_source 100 spoof_many

# What no kernel sends, from a client of our own.
raw_up() {
	raw_peer raw &&
		grant raw-ping --who peer:raw --to hub --protocol icmp && net_wait 3 rig_in_force
}
raw() { raw_as raw laptop "$@"; }
raw_packet() { # COUNTER PACKET
	grows "$1" 1 raw handshake send "$(spoke laptop hex "$2")" silence 50
}
me=10.77.0.7
require "a raw client is a peer with a grant" raw_up
check "H1: its own ping is answered" raw handshake ping "$me $hub" expect-reply
check "H1: source 0.0.0.0" raw_packet drop_inner_source "src=0.0.0.0,dst=$hub,proto=icmp"
check "H1: inner length larger than the payload" raw_packet drop_inner_length "src=$me,dst=$hub,proto=icmp,longer=100"
check "H1: IP version 5" raw_packet drop_inner_header "src=$me,dst=$hub,proto=icmp,version=5"

# ---- H2: what is for nobody goes nowhere --------------------------------------------------------------

to_nobody() { ! net_exec hub ping -q -c 1 -W 0.2 10.77.0.99; }
check "H2: what the hub sends to an address of nobody is dropped" grows drop_no_route 1 to_nobody
change_hands() { # of collector's address, to the raw client
	refused 1 'grant "scrape" names peer "collector"' lab_cli peer remove collector || return 1
	ungrant scrape && lab_cli peer remove collector && ungrant raw-ping && lab_cli peer remove raw || return 1
	raw_peer second --allowed-ips "${rig_ip[collector]}/32" &&
		grant second-ping --who peer:second --to hub --protocol icmp && net_wait 3 rig_in_force
}
require "an address moves to another peer" change_hands
heard=$(seen collector)
check "H2: the next packet reaches the new one" raw_as second laptop handshake ping "${rig_ip[collector]} $hub" expect-reply
check "H2: and not the old one" is "heard $(seen collector)" "heard $heard"

# The scans were half a minute ago.
suppressed() {
	grep -q "wg-drop: suppressed [0-9]* peer=laptop reason=policy_no_grant" "$net_dir/hub.log" || return 1
	[ "$(grep -c "wg-drop: .*sport=50000" "$net_dir/hub.log")" -lt 100 ]
}
check "H7: two thousand drops were a few lines, and the rest a number" net_wait 10 suppressed
check "every packet is accounted for" net_wait 3 balance
tap_done
