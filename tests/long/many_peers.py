#!/usr/bin/env python3
"""A configuration with many peers: many_peers.py PEERS PREFIXES_A_PEER RUN_DIR. One prefix of each is an address of
the tunnel net, the others are /28 behind it; the peers stand in no order."""
import base64
import hashlib
import ipaddress
import random
import sys

HEAD = """
hub: {{ tunnel = [ "10.64.0.1/12" ]; peer_to_peer = true; preshared_key = "optional"; endpoint = "192.0.2.2:51820"; private_key_file = "{dir}/hub.key"; }};
dataplane: {{ max_peers = {room}; workers = 2; hugepages = false; mbufs = 4096; }};
ports: ( {{ name = "wan0"; driver = "vdev"; device = "net_null0"; addresses = [ "192.0.2.2/24" ];
            gateways = [ "192.0.2.1" ]; }} );
control: {{ run_dir = "{dir}"; store = "{dir}/weir.db"; user = "root"; }};
peers: (
"""


def peer(number, n_prefixes):
    """One element of the list."""
    key = base64.b64encode(hashlib.sha256(b"peer %d" % number).digest()).decode()
    ips = [f"{ipaddress.IPv4Address(0x0a400002 + number)}/32"]
    for k in range(n_prefixes - 1):
        ips.append(f"{ipaddress.IPv4Address(0x20000000 + (number * (n_prefixes - 1) + k) * 16)}/28")
    text = ", ".join(f'"{ip}"' for ip in ips)
    return f'{{ name = "peer{number}"; public_key = "{key}"; allowed_ips = [ {text} ]; }}'


def main():
    """Print it."""
    n_peers, n_prefixes = int(sys.argv[1]), int(sys.argv[2])
    numbers = list(range(n_peers))
    random.Random(1).shuffle(numbers)
    print(HEAD.format(dir=sys.argv[3], room=n_peers + 1000))
    print(",\n".join(peer(number, n_prefixes) for number in numbers))
    print(");")


main()
