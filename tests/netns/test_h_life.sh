#!/usr/bin/env bash
# What changes while packets flow: H14 and H6 (revocation within a second), H5 (clients carry what they need),
# H3 and H16 (gateways), H18 (behind NAT), H19 (ten thousand grants, and a bad file), H20 (nothing secret in
# text). Every refusal has its positive twin in the same run.
# shellcheck source=tests/netns/tap.sh
. "$(dirname "$0")/tap.sh"
# shellcheck source=tests/netns/rig.sh
. "$(dirname "$0")/rig.sh"

export LAB_NAT_UDP_TIMEOUT=2 LAB_LOG_LEVEL=debug
require "spokes and hub are wired" rig_up
lab_hub_conf
require "hub becomes ready" lab_hub_start
require "five clients shake hands" rig_join_all
serve app 443 8080 && serve collector 9090 && serve lan 8080 22 && serve other 8080
net_spawn app "$net_dir/stream.log" python3 "$top/tests/netns/spoke.py" stream 9000
net_wait 5 net_listening app 9000

four_grants() {
	grant ping --who any --to any --protocol icmp && grant web --who peer:laptop --to peer:app --protocol tcp --ports 443,9000 &&
		grant scrape --who peer:metrics --to peer:collector --protocol tcp --ports 9090 &&
		grant back --who peer:app --to peer:laptop --protocol udp --ports 53 && net_wait 3 rig_in_force
}
require "four grants" four_grants

# ---- H18: behind NAT. Its idle time passes under the checks that follow -------------------------------

check "H18: a configuration has a keepalive of 25 s" eval 'lab_cli peer config collector | net_has -x "PersistentKeepalive = 25"'
keepalive() { # SECONDS; wireguard-go takes another interval at once only when it had none
	local device seconds
	device=$(net_wg_device collector)
	for seconds in 0 "$1"; do
		net_exec collector wg set "$device" peer "$(net_exec collector wg show "$device" peers)" persistent-keepalive "$seconds"
	done
}
keepalive 1
idle_since=$(date +%s)
idle() { [ $(($(date +%s) - idle_since)) -ge 5 ]; } # NAT forgets after two seconds

# ---- H14, H6: revocation ------------------------------------------------------------------------------

drinks() { rig_drink laptop app 9000; }

drinks
check "H6: a download runs" rig_flowing "$net_dir/drink"
check "H6: its grant goes" ungrant web
since=$(rig_now)
check "H6: and the download stops within a second" rig_stopped "$net_dir/drink" "$since"
net_end "$net_pid"
check "H6: what is granted still works" echoes laptop app
require "it is granted again" eval 'grant web --who peer:laptop --to peer:app --protocol tcp --ports 443,9000 && net_wait 3 rig_in_force'
drinks
rig_ping laptop app
rig_ping app laptop
check "service on the internet" lab_cli service add files --host www.example.test --target app:9000
rig_sip www.example.test
check "H14: pings both ways, a connection and a published download run" rig_flowing "$net_dir/drink" "$net_dir/ping-laptop" "$net_dir/ping-app" "$net_dir/sip"
check "H14: app is disabled" lab_cli peer disable app
since=$(rig_now)
check "H14: no reply to laptop later than a second" rig_stopped "$net_dir/ping-laptop" "$since"
check "H14: none to app" rig_stopped "$net_dir/ping-app" "$since"
check "H14: the connection stands still" rig_stopped "$net_dir/drink" "$since"
check "H14: and so does the published download" rig_stopped "$net_dir/sip" "$since"
check "H14: whose client is told by the end of the connection" net_wait 3 grep -q "curl:" "$net_dir/curl.err"
check "H14: the hub does not reach it either" no_echo hub app
check "H14: others are not disturbed" reach metrics tcp:collector:9090=open
refused_initiation() { # a handshake of the disabled peer, as its client makes it
	net_exec app wg set "$(net_wg_device app)" peer "$hub_key" remove
	net_exec app wg set "$(net_wg_device app)" peer "$hub_key" preshared-key "$net_dir/app.psk" endpoint 203.0.113.2:51820 \
		allowed-ips 10.77.0.0/24 persistent-keepalive 25
	net_wait 3 eval '[ "$(lab_counter hs_refused_unknown_peer)" -gt 0 ]'
}
hub_key=$(net_exec app wg show "$(net_wg_device app)" peers)
(umask 077 && net_exec app wg show "$(net_wg_device app)" preshared-keys | cut -f2 >"$net_dir/app.psk")
check "H14: its initiations are refused" refused_initiation
check "H14: and get no answer" eval '! rig_handshaken app'
check "H14: enabled, it shakes hands again" eval 'lab_cli peer enable app && net_wait 10 rig_handshaken app'
check "H14: and is reached as before" eval 'net_wait 3 echoes laptop app && reach laptop tcp:app:443=open'

# ---- H18, the first half ------------------------------------------------------------------------------

net_wait 6 idle
hub_pings() { net_exec hub ping -q -c 1 -W 1 "${rig_ip[collector]}"; }
check "H18: with keepalives the hub reaches a peer behind NAT that was idle" hub_pings
keepalive 0
spoke collector send "src=${rig_ip[collector]},dst=${rig_ip[hub]},proto=icmp" >/dev/null # its last packet
# Nobody answered that: after 15 s the client would begin a handshake by itself, and open the NAT with it.
net_exec collector nft 'table inet hush { chain output { type filter hook output priority 0; udp dport 51820 drop; }; }'
idle_since=$(date +%s)

# ---- H5: clients carry what they need -----------------------------------------------------------------

carries() { is "$(lab_cli peer config metrics | sed -n 's/^AllowedIPs *= *//p')" "$1"; }
goes_by() { # TO DEVICE: how metrics would send
	net_exec metrics ip route get "${rig_ip[$1]}" | net_has "dev $2" || is "$(net_exec metrics ip route get "${rig_ip[$1]}")" "dev $2"
}
tunnel=$(net_wg_device metrics)
ungrant ping >/dev/null && net_wait 3 rig_in_force
check "H5: metrics' configuration has the hub and collector" carries "10.77.0.1/32, 10.77.0.5/32, fd77::1/128, fd77::5/128"
require "its client takes it" lab_client_refresh metrics
check "H5: collector is in its tunnel, app is not" eval 'goes_by collector "$tunnel" && goes_by app eth0'
check "H5: a grant brings app into it" eval '
	grant scrape-app --who peer:metrics --to peer:app --protocol tcp --ports 443 && lab_client_refresh metrics && net_wait 3 rig_in_force &&
	goes_by app "$tunnel" && reach metrics tcp:app:443=open'
check "H5: and it goes with the grant" eval 'ungrant scrape-app && lab_client_refresh metrics && goes_by app eth0 &&
	carries "10.77.0.1/32, 10.77.0.5/32, fd77::1/128, fd77::5/128"'
check "H5: who has the whole net stands in the audit" eval 'lab_cli audit policy | net_has "warning: peer \"gate\": .*whole"'
check "H5: and metrics no longer" eval '! lab_cli audit policy | net_has "warning: peer \"metrics\": .*whole"'

# ---- H3, H16: gateways --------------------------------------------------------------------------------

check "H3: no network without approval" refused 1 "only a gateway has" lab_cli peer add x --allowed-ips 192.168.50.0/24
for net in 0.0.0.0/0 10.77.0.0/24 203.0.113.0/24; do
	check "H3: $net is nobody's" refused 1 "NETWORKS" lab_cli peer approve gate "$net"
done
sends_by_tunnel() { # NET...: laptop would
	local net
	for net; do net_ip laptop route replace "$net" dev "$(net_wg_device laptop)" || return 1; done
	net_exec laptop wg set "$(net_wg_device laptop)" peer "$hub_key" allowed-ips "10.77.0.0/24,$(echo "$*" | tr ' ' ,)"
}
require "laptop sends both networks into the tunnel" sends_by_tunnel 192.168.50.0/24 192.168.60.0/24
check "H3: what is not approved is not routed" reach laptop tcp:192.168.50.2:8080=silent
require "one is approved" lab_cli peer approve gate 192.168.50.0/24
check "H3: another gateway cannot have it" refused 1 'belongs to peer "gate"' lab_cli peer approve laptop 192.168.50.0/25
check "H3: approved is not granted" reach laptop tcp:192.168.50.2:8080=silent
require "a port of it is granted" eval 'grant lan --who peer:laptop --to subnet:192.168.50.0/24 --protocol tcp --ports 8080 && net_wait 3 rig_in_force'
check "H16: that is reached, no other port, and not the other network" reach laptop tcp:192.168.50.2:8080=open \
	tcp:192.168.50.2:22=silent tcp:192.168.60.2:8080=silent
check "H16: and not from elsewhere" reach app tcp:192.168.50.2:8080=silent
check "H3: a gateway is no error" eval 'lab_cli audit policy | net_has "info: peer \"gate\": has the network 192.168.50.0/24"'
check "H16: the hub forwards nothing in its kernel" is "$(net_exec hub sysctl -n net.ipv4.ip_forward)" 0

# ---- H19: whole policies ------------------------------------------------------------------------------

generation() { lab_cli status | awk '$1 == "policy" { print $3 + 0 }'; }
many() { # the policy there is, and ten thousand grants of gate
	lab_cli policy export | python3 -c '
import sys
head, tail = sys.stdin.read().rsplit("\n);", 1)
print(head + "," + ",".join(
    f"{{ name = \"m{i}\"; who = \"peer:gate\"; to = \"peer:app\"; protocol = \"udp\"; ports = [ \"{2 * i + 1}\" ]; }}\n"
    for i in range(10000)) + ");" + tail)' >"$net_dir/many.conf"
}
apply_many() {
	local begin
	begin=$(date +%s%N)
	lab_cli policy apply "$net_dir/many.conf" >"$net_dir/many.out" && net_wait 10 rig_in_force || return 1
	echo "# ten thousand grants in force $((($(date +%s%N) - begin) / 1000000)) ms after weir policy apply began"
}
require "a policy of ten thousand grants" many
before=$(generation)
check "H19: a bad file names its line and changes nothing" eval '
	(cat "$net_dir/many.conf"; echo "grant: ();") >"$net_dir/bad.conf"
	refused 1 "$net_dir/bad.conf:$(wc -l <"$net_dir/bad.conf"): " lab_cli policy apply "$net_dir/bad.conf" && is "$(generation)" "$before"'
check "H19: a dry run changes nothing" eval 'lab_cli policy apply --dry-run "$net_dir/many.conf" | net_has "10000 added" && is "$(generation)" "$before"'
check "H19: applied, it is the next generation, on all workers" eval 'apply_many && is "$(generation)" $((before + 1))'
cat "$net_dir/check.out"
check "H6: with ten thousand grants the same is allowed and refused" reach laptop tcp:app:443=open tcp:app:8080=silent udp:app:443=silent \
	tcp:192.168.50.2:8080=open tcp:192.168.50.2:22=silent tcp:collector:9090=silent
check "H6: and those of gate do what they say" reach gate udp:app:443=open udp:app:8080=silent tcp:app:443=silent

# ---- H18, the second half -----------------------------------------------------------------------------

net_wait 6 idle
net_exec collector nft delete table inet hush
check "H18: without keepalives it does not" eval '! hub_pings'

check "every packet is accounted for" net_wait 3 balance

# ---- H20 ----------------------------------------------------------------------------------------------

keep_secrets laptop laptop app app
check "H20: no secret in answers, log, store, or what processes were given, and no cores" no_secret_told --weir
sed 's/^/# /' "$net_dir/check.out"
check "H20: and where one is, it is found" refused 1 "laptop-quick.conf has the secret" no_secret_told "$net_dir/laptop-quick.conf"
tap_done
