#!/usr/bin/env bash
# H4: what the workers hold against what is wanted. A change behind the hub's back shows within one
# period, naming peer, expected and found; a hub that repairs takes it back; without a change there
# is nothing (the twin).
# shellcheck source=tests/netns/tap.sh
. "$(dirname "$0")/tap.sh"

drift_json() { # drift_json PYTHON: of the last check, d
	lab_cli -o json audit drift --last >"$net_dir/drift.json"
	python3 -c 'import json, sys
d = json.load(open(sys.argv[1]))
print(json.dumps(d))
sys.exit(not eval("(" + sys.argv[2] + ")"))' "$net_dir/drift.json" "$1"
}
period=1
quiet() { # quiet N: N checks by themselves, and nothing found
	local before
	before=$(lab_counter drift_checks)
	net_wait $((period * ($1 + 2) + 3)) counter_at_least drift_checks $((before + $1)) && drift_json 'd["findings"] == []'
}
counter_at_least() { [ "$(lab_counter "$1")" -ge "$2" ]; }
reaches_home() { net_exec office ping -q -c 1 -W 1 10.77.0.3; }
not() { ! "$@"; }
logged() { # logged N TEXT: so many lines of the hub's log have it
	is "$(grep -c -- "$2" "$net_dir/hub.log") lines with $2" "$1 lines with $2"
}

LAB_WORKERS=2 LAB_EXTRA="policy: { drift_check = $period; drift_repair = false; }; debug: { commands = true; };" hub_with_two

check "without a change nothing is found, check after check" quiet 3
check "on demand: no drift, exit 0" lab_cli audit drift
check "status says so" eval 'lab_cli status | net_has "^drift  *0 peers, 0 entries"'

# ---- found, not repaired --------------------------------------------------------------------------

steal() { lab_cli debug route 10.77.0.3/32 --peer office; }
require "a debug command gives home's address to office on the worker" steal
check "office no longer reaches home: the table is the worker's, and live" net_wait 2 not reaches_home
found() {
	net_wait $((period + 2)) drift_json 'len(d["findings"]) == 1 and d["policy_drift_peers"] == 1' &&
		drift_json '(d["findings"][0]["peer"], d["findings"][0]["kind"], d["findings"][0]["what"],
			d["findings"][0]["expected"], d["findings"][0]["actual"]) ==
			("home", "route", "10.77.0.3/32", "peer home", "peer office")'
}
check "found within a period: peer, what, expected, found" found
check "audit drift exits 1 and shows it" refused 1 "peer home" lab_cli audit drift
check "audit policy has it as an error" refused 1 "expected peer home, found peer office" lab_cli audit policy
check "the gauge counts the peer" eval 'lab_cli -o json counters | net_has "\"policy_drift_peers\": 1"'
more_checks() { net_wait $((period * 4 + 3)) counter_at_least drift_checks $(($(lab_counter drift_checks) + 3)); }
check "three more checks" more_checks
check "one line in the log, not one a check" logged 1 'wg-drift: found worker=0 peer=home kind=route what="10.77.0.3/32" expected="peer home" actual="peer office"'
check "counted once" is "$(lab_counter drift_found)" 1
check "nothing was repaired" is "$(lab_counter drift_repaired)" 0
check "a change on the second worker is found too" lab_cli debug peer home --worker 1 --keepalive 77
second() { net_wait $((period + 2)) drift_json '[(f["worker"], f["kind"], f["actual"]) for f in d["findings"]] == [(0, "route", "peer office"), (1, "peer", "keepalive 77 s")]'; }
check "it names the worker" second
give_back() { lab_cli debug route 10.77.0.3/32 --peer home && lab_cli debug peer home --worker 1 --keepalive 0; }
check "the tables are put back by hand" give_back
check "the findings go" net_wait $((period + 2)) drift_json 'd["findings"] == [] and d["policy_drift_peers"] == 0'
check "and their end is logged" logged 2 'wg-drift: cleared'
check "office reaches home again" net_wait 2 pings office 10.77.0.3 3
check "what the hub changes itself is no drift" eval 'for i in 1 2 3 4 5; do lab_cli peer add p$i >/dev/null; done; lab_cli peer remove p3 >/dev/null; quiet 2'

# ---- a dataplane with old tables ------------------------------------------------------------------

# It resumes sessions from the region, of a peer too that is removed while it is away.
restart_with_less() {
	local old control
	old=$(lab_pid dataplane) && control=$(lab_pid control) || return 1
	kill -STOP "$control" && kill -9 "$old" && kill -CONT "$control"
	lab_cli peer remove home >/dev/null || return 1
	net_wait 5 restarted dataplane "$old"
}
require "dataplane killed, and a peer removed meanwhile" restart_with_less
check "the next one holds what is wanted now" net_wait 5 quiet 1
net_end "$lab_hub_pid"

# ---- repaired -------------------------------------------------------------------------------------

LAB_WORKERS=2 LAB_EXTRA="policy: { drift_check = $period; }; debug: { commands = true; };" lab_hub_conf
require "hub with repair, which is the default" lab_hub_start
require "office reaches the hub" net_wait 20 pings office 10.77.0.1 1
take() { lab_cli debug route 10.77.0.2/32 --peer office --drop; }
check "a debug command takes office's address away" take
check "it is put right within a period" net_wait $((period + 2)) counter_at_least drift_repaired 1
check "office reaches the hub" net_wait 2 pings office 10.77.0.1 3
check "the finding is gone" net_wait 2 drift_json 'd["findings"] == []'
check "found, repaired and cleared are in the log" eval 'logged 1 "wg-drift: repaired worker=0 peer=office kind=route" && net_wait 2 logged 1 "wg-drift: cleared worker=0 peer=office"'
check "a peer that a worker forgot comes back" eval 'lab_cli debug peer office --worker 0 --drop && net_wait $((period + 2)) counter_at_least drift_repaired 2 && net_wait 3 drift_json "d[\"findings\"] == []"'
check "balance holds" net_wait 2 balance
net_end "$lab_hub_pid"

# ---- not everywhere -------------------------------------------------------------------------------

lab_hub_conf
require "hub as anybody has it" lab_hub_start
check "it takes no debug commands" refused 1 "debug.commands = true" lab_cli debug route 10.77.0.9/32 --peer office
check "a check on demand finds nothing" lab_cli audit drift
tap_done
