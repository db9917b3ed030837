#!/usr/bin/env bash
# H14: a peer that is removed while pings go both ways every 10 ms, a TCP connection runs and a download of what it publishes:
# nothing comes through a second after the answer, its initiations get none, and what it was in is not there for who comes
# in its place. (A peer that is disabled: test_h_life.sh.)
# shellcheck source=tests/netns/tap.sh
. "$(dirname "$0")/tap.sh"
# shellcheck source=tests/netns/rig.sh
. "$(dirname "$0")/rig.sh"

rig_ip[office]=10.77.0.2
rig_ip[home]=10.77.0.3
require "laboratory comes up" lab_up
lab_hub_conf
require "hub becomes ready" lab_hub_start
require "office joins" rig_join office
require "home joins from behind NAT" rig_join home
for ns in office home; do
	net_spawn "$ns" "$net_dir/stream-$ns.log" python3 "$top/tests/netns/spoke.py" stream 9000
	require "$ns has something to send" net_wait 5 net_listening "$ns" 9000
done
granted() {
	lab_cli group add staff --members home && grant ping --who any --to any --protocol icmp &&
		grant hub --who any --to hub --protocol icmp &&
		grant stream --who group:staff --to peer:office --protocol tcp --ports 9000 && net_wait 3 rig_in_force
}
require "pings are granted, and home a port of office" granted
home=$(net_wg_device home)
hub_key=$(net_exec home wg show "$home" peers)
home_key=$(net_exec home wg show "$home" public-key)

# ---- everything flows ---------------------------------------------------------------------------------

check "home's service on the internet" lab_cli service add files --host www.example.test --target home:9000
rig_sip www.example.test
rig_drink home office 9000
rig_ping office home
rig_ping home office
flows=("$net_dir/drink" "$net_dir/ping-office" "$net_dir/ping-home")
check "pings both ways, a connection and a published download run" rig_flowing "${flows[@]}" "$net_dir/sip"

# ---- and ends -----------------------------------------------------------------------------------------

check "with its service it cannot be removed" refused 1 'service "files" points to peer "home"' lab_cli peer remove home
check "all of it still flows" rig_flowing "${flows[@]}" "$net_dir/sip"
check "the service goes" lab_cli service remove files
since=$(rig_now)
check "the published download stops within a second" rig_stopped "$net_dir/sip" "$since"
check "its client is told by the end of the connection" net_wait 3 grep -q "curl:" "$net_dir/curl.err"
check "the rest flows" rig_flowing "${flows[@]}"
check "home is removed" lab_cli peer remove home
since=$(rig_now)
check "no reply to office later than a second" rig_stopped "$net_dir/ping-office" "$since"
sed 's/^/# /' "$net_dir/check.out"
check "none to home" rig_stopped "$net_dir/ping-home" "$since"
check "the connection stands still" rig_stopped "$net_dir/drink" "$since"
check "the hub does not reach it either" no_echo hub home
check "office is not disturbed" echoes office hub

# ---- and does not come back ---------------------------------------------------------------------------

require "what comes to home from the hub is counted" net_exec home nft "table inet answers { counter n { }; chain in { type filter hook input priority -20; udp sport 51820 counter name n; }; }"
knocks() { # its client begins anew, again and again, until the hub has refused three more initiations
	local before
	before=$(lab_counter hs_refused_unknown_peer)
	net_wait 30 knocked $((before + 3))
}
knocked() { knock && net_wait 2 refused_at_least "$1"; }
refused_at_least() { [ "$(lab_counter hs_refused_unknown_peer)" -ge "$1" ]; }
knock() {
	net_exec home wg set "$home" peer "$hub_key" remove
	net_exec home wg set "$home" peer "$hub_key" preshared-key "$net_dir/home.psk" endpoint 203.0.113.2:51820 \
		allowed-ips 10.77.0.0/24 persistent-keepalive 1
}
(umask 077 && net_exec home wg show "$home" preshared-keys | cut -f2 >"$net_dir/home.psk")
check "its initiations are refused" knocks
answers() { net_exec home nft list counter inet answers n | awk '$1 == "packets" { print $2 }'; }
check "and get no answer at all" eval 'is "$(answers)" 0 && ! rig_handshaken home'

# ---- its twin: who is added has what he is given -------------------------------------------------------

add_back() {
	(umask 077 && lab_cli peer add home --public-key "$home_key" --allowed-ips 10.77.0.3/32 --whole-subnet |
		sed -n 's/^PresharedKey *= *//p' >"$net_dir/home.psk")
	knock
	net_wait 20 rig_handshaken home
}
check "added with the same key, it shakes hands" add_back
check "and is reached" net_wait 5 echoes office home
check "but is in none of the groups it was in" eval 'is "$(lab_cli -o json group show staff | net_has "\"home\"" && echo member)" "" && reach home tcp:office:9000=silent'
check "which it is put into" eval 'lab_cli group member staff --add home && net_wait 3 rig_in_force'
open() { net_exec home timeout 5 bash -c 'exec 3<>/dev/tcp/10.77.0.2/9000 && head -c 1 <&3 | wc -c | grep -q 1'; }
check "and then reaches office's port" open
check "every packet is accounted for" net_wait 3 balance
tap_done
