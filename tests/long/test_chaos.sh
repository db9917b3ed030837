#!/usr/bin/env bash
# Killed -9 at random moments, KILLS times (100), while it is told changes (chaos.py): at work, at its start, in an upgrade.
# Every acknowledged change is kept, the audit trail is whole, workers hold what is wanted, and packets pass.
# CHAOS_SEED=N repeats a run's choices.
# shellcheck source=tests/netns/tap.sh
. "$(dirname "$0")/../netns/tap.sh"

LAB_TUNNEL_BITS=16 LAB_DATAPLANE="max_peers = 512;" hub_with_two

chaos() {
	timeout 400 "$top/tests/long/chaos.py" "$lab_run/control.sock" "$lab_weir" "${KILLS:-100}" "${CHAOS_SEED:-$$}" >"$net_dir/chaos.out" 2>"$net_dir/chaos.err" ||
		{ cat "$net_dir/chaos.out" "$net_dir/chaos.err"; return 1; }
}
check "${KILLS:-100} kills at random: every acknowledged change is kept" chaos
grep '^#' "$net_dir/chaos.out"
check "office reaches home" net_wait 10 pings office 10.77.0.3 5
check "the audit trail is whole" lab_cli audit verify
check "the workers hold what is wanted" net_wait 10 no_drift
check "every packet is accounted for" net_wait 3 balance
tap_done
