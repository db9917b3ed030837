#!/usr/bin/env bash
# A true rekey, two minutes after the handshake: a client's keypair that came to the wrong worker moves
# to the right one, no ping is lost meanwhile, and nothing is handed over any more. 140 s.
# This one waits: run starts it beside others that do.
# shellcheck source=tests/netns/tap.sh
. "$(dirname "$0")/../netns/tap.sh"
# shellcheck source=tests/netns/wrong_worker.sh
. "$top/tests/netns/wrong_worker.sh"

require "laboratory comes up" lab_up
LAB_WORKERS=2 lab_hub_conf
require "hub becomes ready with two workers" lab_hub_start
require "office joins" lab_client office
check "a peer that is never there" lab_cli peer add nobody
nobody=10.77.0.3
require "office reaches the hub" net_wait 5 pings office 10.77.0.1 1
completed=$(lab_counter hs_completed)
require "after roaming its packets come to the other worker" roam_to_the_other
check "125 s of pings, none lost" pings office 10.77.0.1 250 0.5
grown() { [ "$(lab_counter hs_completed)" -gt "$completed" ]; }
check "there was a rekey" grown
check "nothing is handed over any more" none_handed
tap_done
