# shellcheck shell=bash
# Making the packets of the client office arrive at another worker than the owner of its keypair, and
# counting how many of them are handed over. The caller sets $nobody: the tunnel address of a peer
# without a session.

office_device=$(net_wg_device office)

# Packets of office for a peer without a session: they end in their owner, so only arriving at the
# wrong worker makes a hand-off. Prints how many of 50 were handed over.
N=50
send_probes() {
	# shellcheck disable=SC2016 # expanded by the inner shell
	net_exec office bash -c 'for ((i = 0; i < '"$N"'; i++)); do echo x >"/dev/udp/$1/9"; done' - "$nobody"
}
# The hub never heard of it, so they are dropped at once: with none under way, for no session.
dropped() { echo $(($(lab_counter drop_no_session) + $(lab_counter drop_wait_over) + $(lab_counter drop_wait_full))); }
arrived() { [ "$(dropped)" -ge "$1" ]; }
handed() {
	local before dropped
	before=$(lab_counter to_handoff)
	dropped=$(dropped)
	send_probes && net_wait 5 arrived $((dropped + N)) || return 1
	echo $(($(lab_counter to_handoff) - before))
}
all_handed() { is "$(handed)" "$N"; }
none_handed() { is "$(handed)" 0; }

# Another source port is another flow: after some, the kernel's hash takes it to the other worker.
roam_to_the_other() {
	local try
	for try in 1 2 3 4 5 6 7 8 9 10 11 12; do
		roam_port=$((roam_port + 1))
		net_exec office wg set "$office_device" listen-port "$roam_port" || return 1
		net_wait 5 pings office 10.77.0.1 1 || return 1
		all_handed && return 0
	done
	return 1
}
roam_port=43000
