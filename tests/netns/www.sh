# shellcheck shell=bash
# A page of home's that the hub publishes as https://www.example.test/, and who asks for it while something happens;
# over tap.sh.

# www_serve TEXT [BYTES]: home serves a page that says TEXT, and big.bin of so many random bytes. A line for each request is in
# $net_dir/www.out.
www_serve() {
	mkdir -p "$net_dir/www"
	echo "$1" >"$net_dir/www/index.html"
	[ $# -lt 2 ] || head -c "$2" /dev/urandom >"$net_dir/www/big.bin"
	net_spawn home "$net_dir/www.out" python3 -u -m http.server 8080 --bind 10.77.0.3 --directory "$net_dir/www"
	net_wait 5 net_listening home 8080
}
www_publish() { lab_cli service add web --host www.example.test --target home:8080; }
www_get() { # NS CURL_ARGS...: as a browser there
	local ns=$1
	shift
	net_exec "$ns" curl -sS --max-time 10 --resolve www.example.test:443:203.0.113.2 --resolve www.example.test:80:203.0.113.2 "$@"
}
www_page() { www_get "$1" -k https://www.example.test/; } # NS

# www_ask NAME: requests of the page, of big.bin with 2,000,000 bytes and of the control socket begin, on connections that
# stay and on new ones (askers.py). www_asked: they end; fails when one of them failed. How many there were of each, and which
# failed, is in $net_dir/ask-NAME.
www_ask() {
	local fifo=$net_dir/ask-end
	rm -f "$fifo"
	mkfifo "$fifo"
	net_spawn internet "$net_dir/ask-$1" bash -c "exec python3 '$top/tests/netns/askers.py' '$lab_run/control.sock' 203.0.113.2 www.example.test 2000000 <'$fifo'"
	www_asker=$net_pid
	exec {www_end}>"$fifo"
}
www_asked() {
	exec {www_end}>&-
	wait "$www_asker"
}
