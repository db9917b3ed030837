# shellcheck shell=bash
# Set-up shared by tools/demo and tools/test: root, packages, hugepages, build. Sourced, not run.
# Everything that takes longer than a second says what it is doing.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

say() { printf '%s\n' "$*"; }
die() {
	printf 'error: %s\n' "$*" >&2
	exit 1
}

setup_need_root() {
	[ "$(id -u)" -eq 0 ] ||
		die "this must run as root (it makes network namespaces and reserves hugepages): sudo $0"
}

# Run a long command quietly with a dot every few seconds; its output goes to a file that is shown
# when it fails.
setup_step() {
	local what=$1 log pid started=$SECONDS
	shift
	log=$(mktemp /tmp/weir-step.XXXXXX)
	printf '  %-58s' "$what"
	"$@" >"$log" 2>&1 </dev/null &
	pid=$!
	while kill -0 "$pid" 2>/dev/null; do
		sleep 0.2
		[ $(((SECONDS - started) % 5)) -ne 4 ] || { [ -t 1 ] && printf '.'; }
	done
	if wait "$pid"; then
		printf ' %4d s\n' $((SECONDS - started))
		rm -f "$log"
		return 0
	fi
	printf ' failed\n'
	tail -n 60 "$log"
	rm -f "$log"
	return 1
}

setup_missing_packages() {
	local package
	while read -r package; do
		case $package in '' | '#'*) continue ;; esac
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
			printf '%s\n' "$package"
	done <"$1"
}

# setup_packages FILE...: install what is missing of the lists.
setup_packages() {
	local list missing
	missing=$(for list in "$@"; do setup_missing_packages "$list"; done | sort -u)
	[ -n "$missing" ] || return 0
	command -v apt-get >/dev/null || die "apt-get not found: weir is set up on Debian 12; install by hand: $(echo "$missing" | xargs)"
	setup_step "reading package lists" apt-get update -qq ||
		die "apt-get update failed: check /etc/apt/sources.list and the network"
	# shellcheck disable=SC2086 # a list of words
	DEBIAN_FRONTEND=noninteractive setup_step "installing $(echo "$missing" | wc -l) packages" \
		apt-get install -y -qq --no-install-recommends $missing ||
		die "could not install: $(echo "$missing" | xargs)"
}

# setup_hugepages N: have at least N free 2 MB pages, if the kernel gives them. Prints how many
# pages were added, for setup_hugepages_release.
setup_hugepages() {
	local want=$1 file=/proc/sys/vm/nr_hugepages free total
	free=$(awk '/^HugePages_Free/ {print $2}' /proc/meminfo)
	total=$(cat "$file" 2>/dev/null || echo 0)
	if [ "${free:-0}" -ge "$want" ]; then
		echo 0
		return
	fi
	echo $((total + want - free)) >"$file" 2>/dev/null || true
	echo $(($(cat "$file" 2>/dev/null || echo 0) - total))
}

setup_hugepages_release() {
	local added=$1 file=/proc/sys/vm/nr_hugepages total
	[ "${added:-0}" -gt 0 ] || return 0
	total=$(cat "$file")
	echo $((total - added)) >"$file"
}

# setup_build DIR CC [meson options]: configure once, build. setup_targets (an array) names what to
# build; empty = everything.
setup_targets=()
setup_build() {
	local dir=$1 cc=$2
	shift 2
	if [ ! -f "$dir/build.ninja" ]; then
		setup_step "configuring $(basename "$dir")" env CC="$cc" meson setup "$dir" "$top" "$@" || return 1
	fi
	setup_step "building $(basename "$dir") with $cc" ninja -C "$dir" "${setup_targets[@]}"
}
