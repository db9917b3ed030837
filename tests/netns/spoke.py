#!/usr/bin/env python3
"""What spokes send and listen to in the tests of the policy. Runs inside a namespace.

  spoke.py serve PORT...              TCP and UDP echo on every address; TCP sends "hello\n" first
  spoke.py stream PORT                TCP that sends without end, as an answer over HTTP
  spoke.py reach WHAT...              WHAT is tcp:ADDRESS:PORT=SAYS or udp:...: connect and read
                                      "hello", or send and await the echo, all at once; SAYS is what
                                      must come of it: open, refused or silent
  spoke.py drink ADDRESS PORT FILE    read for ever, a line "time bytes" into FILE every 20 ms
  spoke.py sip FILE                   the same from standard input
  spoke.py send PACKET...             packets through a raw socket, as they are
  spoke.py hex PACKET                 the same as hexadecimal digits

A PACKET is words joined by ',': src=10.77.0.2,dst=10.77.0.3,proto=tcp,dport=22,flags=S and so on:
  src, dst, proto (tcp, udp, icmp or a number), sport, dport (a range 1-1000 makes a packet each),
  flags (letters of SAFR), type, code (of ICMP), id, offset (in bytes), more=1 (fragments),
  quote=1 (an ICMP error about a packet dst -> from, whose proto, sport, dport are given),
  from=ADDRESS (the other end of the quoted packet), version, longer (added to the total length),
  count (how many times)
"""
import ipaddress
import socket
import struct
import sys
import threading
import time

PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17}
FLAGS = {"F": 1, "S": 2, "R": 4, "A": 16}


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ports_of(words):
    first, _, last = words.get("dport", "0").partition("-")
    return range(int(first), int(last or first) + 1)


def upper(words, src, dst, dport):
    """The upper layer's bytes, with its checksum."""
    proto = PROTOCOLS.get(words["proto"]) or int(words["proto"])
    sport = int(words.get("sport", "40000"))
    if proto == 6:
        flags = sum(FLAGS[letter] for letter in words.get("flags", "S"))
        body = struct.pack(">HHIIBBHHH", sport, dport, 1, 1 if flags & 16 else 0, 0x50, flags, 65000, 0, 0)
        at = 16
    elif proto == 17:
        body = struct.pack(">HHHH", sport, dport, 12, 0) + b"weir"
        at = 6
    elif proto == 1:
        kind, code = int(words.get("type", "8")), int(words.get("code", "0"))
        body = struct.pack(">BBHHH", kind, code, 0, sport if kind in (0, 8) else 0, 1) + words.get("inner", b"weir")
        return 1, body[:2] + struct.pack(">H", checksum(body)) + body[4:]
    else:
        return proto, b"weir" * 4
    pseudo = src + dst + struct.pack(">BBH", 0, proto, len(body))
    return proto, body[:at] + struct.pack(">H", checksum(pseudo + body)) + body[at + 2:]


def header(words, src, dst, proto, length):
    fragment = int(words.get("offset", "0")) // 8 | (0x2000 if words.get("more") else 0)
    version = int(words.get("version", "4"))
    head = struct.pack(">BBHHHBBH", version << 4 | 5, 0, 20 + length + int(words.get("longer", "0")),
                       int(words.get("id", "77")), fragment, 64, proto, 0) + src + dst
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:]


def packets(text):
    words = dict(word.split("=") for word in text.split(","))
    src, dst = (ipaddress.IPv4Address(words[key]).packed for key in ("src", "dst"))
    for dport in ports_of(words):
        if words.get("quote"):
            other = ipaddress.IPv4Address(words["from"]).packed
            proto, body = upper(words, dst, other, dport)
            inner = header({}, dst, other, proto, len(body)) + body[:8]
            error = {"proto": "icmp", "type": words.get("type", "3"), "code": words.get("code", "4"), "inner": inner}
            proto, body = upper(error, src, dst, 0)
        else:
            proto, body = upper(words, src, dst, dport)
        if int(words.get("offset", "0")) > 0:
            body = b"tail" * 4
        for _ in range(int(words.get("count", "1"))):
            yield dst, header(words, src, dst, proto, len(body)) + body


def send(texts):
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        n = 0
        for text in texts:
            for dst, packet in packets(text):
                raw.sendto(packet, (socket.inet_ntoa(dst), 0))
                n += 1
                if n % 64 == 0:  # no more than a small client's queues take
                    time.sleep(0.002)
        print(n)


def echo_tcp(client):
    with client:
        client.sendall(b"hello\n")
        while data := client.recv(65536):
            client.sendall(data)


def echo_udp(server):
    while True:
        data, peer = server.recvfrom(65536)
        server.sendto(data, peer)


def flood(client):
    with client:
        client.settimeout(0.2)
        try:
            client.recv(65536)  # a request, if one comes
        except TimeoutError:
            pass
        client.settimeout(None)
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n")
        while True:
            client.sendall(b"x" * 65536)


def quietly(work, *arguments):
    try:
        work(*arguments)
    except OSError:
        pass  # the other side went away


def accept(server, work):
    while True:
        client, _ = server.accept()
        threading.Thread(target=quietly, args=(work, client), daemon=True).start()


def serve(ports, work=echo_tcp):
    for port in ports:
        tcp = socket.create_server(("", port), backlog=64)
        threading.Thread(target=accept, args=(tcp, work), daemon=True).start()
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("", port))
        threading.Thread(target=quietly, args=(echo_udp, udp), daemon=True).start()
    threading.Event().wait()


def try_tcp(address, port, timeout_s):
    try:
        with socket.create_connection((address, port), timeout=timeout_s) as client:
            return "open" if client.recv(6) == b"hello\n" else "odd"
    except ConnectionRefusedError:
        return "refused"
    except OSError:
        return "silent"


def try_udp(address, port, timeout_s):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(timeout_s)
        try:
            client.connect((address, port))
            client.send(b"weir")
            return "open" if client.recv(16) == b"weir" else "odd"
        except OSError:
            return "silent"


def reach(texts):
    """Silence takes as long as we wait for it; what answers may take its time on a busy machine."""
    def look(text):
        what, says = text.split("=")
        proto, address, port = what.split(":")
        found = (try_tcp if proto == "tcp" else try_udp)(address, int(port), 0.4 if says == "silent" else 3.0)
        if found != says:
            wrong.append(f"{what} is {found}, expected {says}")

    wrong = []
    threads = [threading.Thread(target=look, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        sys.exit("\n".join(wrong))


def swallow(read, path):
    total, last = 0, 0.0
    with open(path, "w", encoding="ascii") as file:
        while data := read(1 << 20):
            total += len(data)
            if time.time() - last >= 0.02:
                last = time.time()
                print(f"{last:.3f} {total}", file=file, flush=True)


def drink(address, port, path):
    with socket.create_connection((address, port), timeout=5) as client:
        client.settimeout(None)
        swallow(client.recv, path)


def main(words):
    verb, rest = words[0], words[1:]
    if verb == "serve":
        serve([int(port) for port in rest])
    elif verb == "stream":
        serve([int(rest[0])], flood)
    elif verb == "reach":
        reach(rest)
    elif verb == "drink":
        drink(rest[0], int(rest[1]), rest[2])
    elif verb == "sip":
        swallow(sys.stdin.buffer.read1, rest[0])
    elif verb == "send":
        send(rest)
    elif verb == "hex":
        print("".join(packet.hex() for _, packet in packets(rest[0])))
    else:
        sys.exit(__doc__)


main(sys.argv[1:])
