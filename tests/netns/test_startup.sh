#!/usr/bin/env bash
# What cannot start says why in one line, with what to do, and leaves nothing half started.
# shellcheck source=tests/netns/tap.sh
. "$(dirname "$0")/tap.sh"

require "laboratory comes up" lab_up
lab_hub_conf
weir_run() { nsenter --net="/run/netns/$net_tag-hub" timeout 20 "$lab_weir" run -c "$1"; }
with() { # with SED_SCRIPT: a changed copy of the configuration
	sed "$1" "$lab_conf" >"$net_dir/changed.conf"
	printf '%s' "$net_dir/changed.conf"
}
nothing_left() {
	! net_ip hub link show weir0 2>/dev/null && ! net_ip hub link show weir-wan0 2>/dev/null &&
		! net_exec hub nft list table netdev weir_wan0 >/dev/null 2>&1 && ! pgrep -f "$net_dir" >/dev/null
}

check "no such file" refused 1 "nowhere.conf" weir_run "$net_dir/nowhere.conf"
check "a syntax error names its line" refused 1 "changed.conf:2" weir_run "$(with '2s/=/%/')"
check "a port out of range" refused 1 "must be" weir_run "$(with 's/listen_port = 51820/listen_port = 70000/')"
check "an unknown key" refused 1 "listen_prot" weir_run "$(with 's/listen_port/listen_prot/')"
LAB_EXTRA='peers: ( { name = "alice"; public_key = "AAAA"; } );' lab_hub_conf
check "a bad key names the peer" refused 1 'peer "alice"' weir_run "$lab_conf"
LAB_EXTRA='' lab_hub_conf
check "missing interface" refused 1 "nosuch0" weir_run "$(with 's/device = "wan0"/device = "nosuch0"/')"
check "nothing is left behind" net_wait 3 nothing_left
unprivileged() { nsenter --net="/run/netns/$net_tag-hub" setpriv --reuid 65534 --regid 65534 --clear-groups "$lab_weir" run -c "$lab_conf"; }
chmod 755 "$net_dir"
check "no permission" eval '! unprivileged 2>"$net_dir/unpriv.txt" && [ -s "$net_dir/unpriv.txt" ]'

require "hub becomes ready" lab_hub_start
check "a second start on the same socket" refused 1 "already" weir_run "$lab_conf"
check "the first still works" lab_cli status
check "a peer is added by hand" lab_cli peer add clash --public-key "$(wg genkey | wg pubkey)"
taken() {
	net_end "$lab_hub_pid"
	net_spawn hub "$net_dir/taken.log" python3 -c 'import socket,time; s=socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("0.0.0.0", 443)); s.listen(); print("bound", flush=True); time.sleep(60)'
	net_wait 5 grep -q bound "$net_dir/taken.log" && refused 1 ":443" weir_run "$lab_conf"
	local ret=$?
	net_end "$net_pid"
	return $ret
}
check "port 443 is taken" taken
check "nothing is left behind" net_wait 3 nothing_left
# Found only when control is no longer root, and cannot take back its guard on the interface itself.
(umask 077 && wg genpsk >"$net_dir/clash.psk")
clash() { # what else it has
	LAB_EXTRA="peers: ( { name = \"clash\"; public_key = \"$(wg genkey | wg pubkey)\"; $1 } );" lab_hub_conf
}
clash ""
check "H9: a peer of the file without a preshared key" refused 1 'peer "clash": preshared_key_file is missing' weir_run "$lab_conf"
clash "preshared_key_file = \"$net_dir/clash.psk\";"
check "a peer of the file that clashes with a stored one" refused 1 '"clash"' weir_run "$lab_conf"
check "nothing is left behind" net_wait 3 nothing_left
LAB_EXTRA='' lab_hub_conf
# The file names another interface by the time the hub ends.
changed_meanwhile() {
	lab_hub_start && net_exec hub nft list table netdev weir_wan0 >/dev/null || return 1
	sed -i 's/device = "wan0"/device = "wan1"/' "$lab_conf"
	net_end "$lab_hub_pid"
	net_wait 3 nothing_left
}
check "the interface is given back though the file names another now" changed_meanwhile
lab_hub_conf
# Where the limit cannot be raised, clients of the edge must not take the last descriptor.
flood() {
	LAB_WRAP=(prlimit --nofile=128:128 setpriv --bounding-set=-sys_resource)
	lab_hub_start || return 1
	net_spawn internet "$net_dir/flood.log" python3 -c '
import socket, time
held = []
for i in range(300):
    s = socket.socket(); s.settimeout(2); s.connect(("203.0.113.2", 80)); held.append(s)
print("held", flush=True); time.sleep(60)'
	net_wait 10 grep -q held "$net_dir/flood.log" && timeout 3 "$lab_weir" -s "$lab_run/control.sock" status >/dev/null &&
		kill -9 "$(lab_pid dataplane)" && net_wait 5 eval 'lab_cli status | net_has "ready"'
	local ret=$?
	net_end "$net_pid"
	net_end "$lab_hub_pid"
	LAB_WRAP=()
	return $ret
}
check "a flood of clients leaves descriptors to the CLI" flood

no_hugepages() {
	LAB_DATAPLANE='hugepages = false;' lab_hub_conf && lab_hub_start && lab_client office || return 1
	office_pid=$net_pid
	pings office 10.77.0.1 5
}
check "works without hugepages" no_hugepages
# The kernel has no free hugepage: a mount namespace in which the folder that says so is empty.
fallback() {
	net_end "$lab_hub_pid"
	net_end "$office_pid"
	lab_hub_conf
	LAB_WRAP=(unshare --mount sh -c 'mount -t tmpfs none /sys/kernel/mm/hugepages && exec "$@"' sh)
	lab_hub_start && lab_cli peer remove office && lab_client office && pings office 10.77.0.1 5
}
check "falls back by itself when no hugepage is free" fallback
one_warning() { is "$(grep -c 'warn.*hugepage' "$net_dir/hub.log")" 1; }
check "and says so in one line" one_warning
# All that are free are promised to somebody who has not written to them yet.
promised() {
	net_end "$lab_hub_pid"
	LAB_WRAP=(unshare --mount sh -c 'pages=/sys/kernel/mm/hugepages && mount -t tmpfs none $pages &&
		mkdir $pages/hugepages-2048kB && cd $pages/hugepages-2048kB &&
		echo 4000 >free_hugepages && echo 4000 >resv_hugepages && exec "$@"' sh)
	lab_hub_start && grep -q 'hugepages: 0 MB free' "$net_dir/hub.log"
}
check "and when those that are free are promised to others" promised
net_end "$lab_hub_pid"

# ---- H10: with a umask of 000 whatever is made is for its owner alone at its first sight ---------------

mkdir -m 700 "$net_dir/secrets" "$net_dir/secrets/run" "$net_dir/mine"
rm -f "$lab_run/control.sock"
lab_run=$net_dir/secrets/run
lab_hub_conf
sed -i "s|$net_dir/hub.key|$net_dir/secrets/hub.key|; s|$net_dir/store/weir.db|$net_dir/secrets/state/weir.db|; s|wg_socket = \"off\"|user = \"nobody\"|" "$lab_conf"
watch_modes() {
	mkfifo "$net_dir/modes-end"
	net_spawn hub "$net_dir/modes.log" bash -c "exec python3 '$top/tests/netns/modes.py' '$net_dir/secrets' '$net_dir/secrets/run' '$net_dir/mine' <'$net_dir/modes-end'"
	modes_pid=$net_pid
	exec {modes_end}>"$net_dir/modes-end"
	net_wait 5 grep -q watching "$net_dir/modes.log"
}
bare() { (umask 000 && lab_cli "$@"); }
everything() { # that makes a key, or a file that holds one
	LAB_WRAP=(sh -c 'umask 000; exec "$@"' sh)
	lab_hub_start && bare peer add laptop --save "$net_dir/mine/laptop.conf" && bare peer add phone --qr-png "$net_dir/mine/phone.png" &&
		bare peer rotate laptop --new-preshared-key --save "$net_dir/mine/next.conf" && bare hub rotate &&
		bare service add files --host www.example.test --target laptop:80 &&
		bare capture --seconds 1 --write "$net_dir/mine/capture" && bare upgrade --binary-dir "$net_dir/programs" &&
		net_wait 10 eval 'lab_cli status | net_has "^dataplane .* ready"'
}
seen_modes() { # of all that must have been seen
	local name
	exec {modes_end}>&-
	wait "$modes_pid" || { cat "$net_dir/modes.log" && return 1; }
	for name in hub.key state state/weir.db state/weir.db-wal state/store.key run/control.sock; do
		grep " $net_dir/secrets/$name\$" "$net_dir/modes.log" || return 1
	done
	is "$(grep -c " $net_dir/mine/" "$net_dir/modes.log")" 4
}
mkdir "$net_dir/programs"
cp "$lab_build/control/weir-control" "$lab_build/dataplane/weir-dataplane" "$net_dir/programs/"
check "H10: what is made is watched" watch_modes
check "H10: a start, keys, configurations, pictures, a certificate, an upgrade" everything
net_end "$lab_hub_pid"
check "H10: nothing of it was open to others at any moment" seen_modes
LAB_WRAP=()
loosened() { # MODE FILE TEXT
	local before
	before=$(stat -c %a "$2")
	chmod "$1" "$2"
	refused 1 "$3" weir_run "$lab_conf"
	local ret=$?
	chmod "$before" "$2"
	return $ret
}
state=$net_dir/secrets/state
check "H10: a key file that others can read" loosened 640 "$net_dir/secrets/hub.key" "chmod 600 $net_dir/secrets/hub.key"
check "H10: the key of the store" loosened 604 "$state/store.key" "store.key: has mode 0604"
check "H10: the store" loosened 644 "$state/weir.db" "weir.db: has mode 0644"
check "H10: the directory of the state" loosened 755 "$state" "chmod 700 $state"
check "nothing is left behind" net_wait 3 nothing_left
check "H10: as they were they are taken" eval 'lab_hub_start && lab_cli peer list | grep laptop'
check "hub not reachable is exit code 3" refused 3 "no hub" lab_cli -s "$net_dir/none.sock" status
check "bad argument is exit code 2" refused 2 "--keepalive" lab_cli peer add x --keepalive 70000
tap_done
