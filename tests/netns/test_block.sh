#!/usr/bin/env bash
# Drop lists: whoever is listed gets no answer, as far as the scope goes and as long as it holds, and the
# host beside it goes on.
# shellcheck source=tests/netns/tap.sh
. "$(dirname "$0")/tap.sh"
# shellcheck source=tests/netns/www.sh
. "$(dirname "$0")/www.sh"

require "laboratory comes up" lab_up
lab_hub_conf
require "hub becomes ready" lab_hub_start
require "office joins" lab_client office
require "home joins" lab_client home
require "home serves a page" www_serve hello
require "a service is published" www_publish

office=198.51.100.2
no_echo() { ! net_exec "$1" ping -q -c 2 -i 0.05 -W 0.3 "$2"; }
page() { is "$(www_page "$1")" hello; } # NS: as a browser there sees it
# Silence, no RST: curl waits until its time is over.
no_page() {
	www_get "$1" -k --max-time 1 -o /dev/null https://www.example.test/
	is "curl exits with $?" "curl exits with 28"
}
in_force() { lab_cli -o json block list --limit 1 | python3 -c 'import json,sys; sys.exit(not json.load(sys.stdin)["in_force"])'; }
block() { lab_cli block "$@" && net_wait 3 in_force; }
# What the hub's kernel sees of office, on whatever interface.
net_exec hub nft "table inet seen { counter n { }; chain early { type filter hook prerouting priority -300; ip saddr $office counter name n; }; }"
kernel_saw() { net_exec hub nft list counter inet seen n | awk '$1 == "packets" { print $2 }'; }
kernel_sees_nothing_of() { # COMMAND...
	local before
	before=$(kernel_saw)
	"$@" || return 1
	is "$(kernel_saw)" "$before"
}

require "both reach the hub" eval 'pings office 10.77.0.1 5 && pings home 10.77.0.1 5'
check "both browsers read the page" eval 'page office && page internet'
check "the kernel saw office's browser" eval '[ "$(kernel_saw)" -gt 0 ]'
check "nothing was dropped by a list" eval 'counter_is drop_block_all 0 && counter_is drop_block_wireguard 0'

# ---- scope wireguard
warned() {
	lab_cli block add $office --scope wireguard --reason "too loud" >"$net_dir/warned" 2>&1
	grep 'warning: peer "office" was last seen at 198.51.100.2:' "$net_dir/warned" || { cat "$net_dir/warned"; return 1; }
}
check "who lists a peer's endpoint is told which peer" warned
require "the list is in force" net_wait 3 in_force
check "a session that stands is cut" no_echo office 10.77.0.1
check "and counted" eval '[ "$(lab_counter drop_block_wireguard)" -gt 0 ]'
check "the peer beside it goes on" pings home 10.77.0.1 20
check "its browser goes on" page office
require "weir block remove $office" block remove $office
check "what is removed comes back" net_wait 3 pings office 10.77.0.1 1

# ---- handshakes
raw_peer raw
raw() { raw_as raw internet "$@"; }
check "a handshake is answered" raw handshake ping "10.77.0.4 10.77.0.1" expect-reply
check "the gateway wants --force" refused 1 "the hub's gateway" lab_cli block add 203.0.113.0/31 --scope wireguard
require "weir block add 203.0.113.0/31 --scope wireguard --force" block add 203.0.113.0/31 --scope wireguard --force
handshakes_unseen() {
	local before
	before=$(lab_counter hs_initiation_in)
	raw initiate-stranger silence 150 && is "$(lab_counter hs_initiation_in)" "$before"
}
check "a listed source's handshake costs no handshake" grows drop_block_wireguard 1 handshakes_unseen
require "weir block remove 203.0.113.0/31" block remove 203.0.113.0/31

# ---- scope published
require "weir block add $office --scope published" block add $office --scope published
check "a listed browser gets silence" no_page office
check "and the kernel does not see it try" kernel_sees_nothing_of no_page office
check "counted" eval '[ "$(lab_counter drop_block_published)" -gt 0 ]'
check "other browsers go on" page internet
check "its tunnel goes on" pings office 10.77.0.1 20
check "its ping to the hub's WAN address goes on" pings office 203.0.113.2 5

# ---- scope all; listing again changes the scope
require "weir block add $office --for 3s" block add $office --for 3s
check "nothing of it comes through" eval 'no_echo office 10.77.0.1 && no_echo office 203.0.113.2'
check "the kernel sees nothing of it" kernel_sees_nothing_of no_echo office 203.0.113.2
check "its other address is not listed" pings office 2001:db8:1::2 5
check "the others go on" eval 'pings home 10.77.0.1 20 && page internet'
check "when its time is over it comes back by itself" net_wait 8 pings office 203.0.113.2 1
gone() { refused 1 "is not listed" lab_cli block remove $office; }
check "and is listed no more" gone
check "its tunnel is back" net_wait 8 pings office 10.77.0.1 1

# ---- files
printf '# list\n198.51.100.0/24\n2001:db8:2::/64 ; office too\n' >"$net_dir/good.txt"
printf '198.51.100.0/24\n\n198.51.100.7/24\n' >"$net_dir/bad.txt"
check "a bad line is named and nothing changes" \
	refused 1 "$net_dir/bad.txt:3: \"198.51.100.7/24\" has bits behind its length, is 198.51.100.0/24 meant?" \
	lab_cli block import "$net_dir/bad.txt" --source feed
check "nothing is listed" eval 'lab_cli block list | net_has -x "nothing is listed"'
require "weir block import FILE --source feed" block import "$net_dir/good.txt" --source feed --reason "a feed"
check "an imported list holds for both families" eval 'no_echo office 203.0.113.2 && no_echo office 2001:db8:1::2'
check "check says by what" eval 'lab_cli block check $office | net_has "198.51.100.0/24 .*feed.*a feed"'

# ---- deaths
kill -9 "$(lab_pid control)"
check "control killed: still dropped" no_echo office 203.0.113.2
back() { lab_cli status >/dev/null 2>&1; }
check "control is back" net_wait 10 back
check "with its lists" eval 'lab_cli block list | net_has "list of 2"'
check "and they are in force" eval 'net_wait 10 in_force && no_echo office 203.0.113.2'
dataplane=$(lab_pid dataplane)
kill -9 "$dataplane"
anew() { [ "$(lab_pid dataplane)" != "$dataplane" ] && pings home 10.77.0.1 1; }
check "dataplane is back" net_wait 15 anew
check "and still drops" no_echo office 203.0.113.2
require "weir block clear feed" block clear feed
check "cleared: office is back" net_wait 3 pings office 203.0.113.2 1

check "the hub's own address wants --force" refused 1 "the hub's own address" lab_cli block add 203.0.113.0/24
check "everybody wants --force" refused 1 "is everybody" lab_cli block add ::/0
check "every packet is accounted for" net_wait 3 balance
tap_done
