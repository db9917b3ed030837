"""The edge's TLS: certificates, versions, names, tickets."""

import re
import socket
import subprocess

from lab import PORT, SERVICES, WORK, Edge, case, curl, run, s_client, wait_until

edge = Edge(SERVICES)


@case
def curl_verifies_the_self_signed_certificate():
    result = curl(f"https://a.example:{PORT}/echo")
    assert result.returncode == 0, result.stderr
    assert b"GET /echo HTTP/1.1" in result.stdout


@case
def certificate_of_one_host_does_not_verify_for_another():
    result = curl(
        "--resolve", f"b.example:{PORT}:127.0.0.1", f"https://b.example:{PORT}/", host="a.example"
    )
    assert result.returncode == 60, result.returncode


@case
def tls_1_2_and_1_3_are_spoken():
    for version in ("1.2", "1.3"):
        result = curl("--tlsv" + version, "--tls-max", version, f"https://a.example:{PORT}/")
        assert result.returncode == 0, (version, result.stderr)


@case
def certificate_has_the_host_as_its_only_name():
    shown = s_client("-servername", "a.example").stdout
    text = subprocess.run(
        ["openssl", "x509", "-noout", "-ext", "subjectAltName"], input=shown, capture_output=True
    ).stdout
    assert re.findall(rb"(?:DNS|IP)[^\s,]*", text) == [b"DNS:a.example"], text


@case
def tls_1_1_is_refused():
    result = s_client("-tls1_1", "-cipher", "ALL:@SECLEVEL=0", "-servername", "a.example")
    assert result.returncode != 0
    assert b"alert protocol version" in result.stderr, result.stderr


@case
def unknown_name_gets_unrecognized_name_and_is_counted():
    before = edge.counters()["refused_tls"]
    for arguments in (("-servername", "nobody.example"), ("-noservername",)):
        result = s_client(*arguments)
        assert b"unrecognized name" in result.stderr, result.stderr
        assert b"BEGIN CERTIFICATE" not in result.stdout
    assert wait_until(lambda: edge.counters()["refused_tls"] == before + 2)


@case
def plain_text_on_the_tls_port_is_refused():
    before = edge.counters()["refused_tls"]
    sock = socket.create_connection(("127.0.0.1", PORT), 5)
    sock.sendall(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
    data = b""
    try:
        while piece := sock.recv(4096):
            data += piece
    except ConnectionResetError:
        pass
    assert b"HTTP/" not in data
    assert wait_until(lambda: edge.counters()["refused_tls"] == before + 1)


@case
def sessions_resume_by_ticket():
    for version in ("-tls1_2", "-tls1_3"):
        path = f"{WORK}/session"
        request = b"GET /echo HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{PORT}", version]
        command += ["-servername", "a.example", "-ign_eof"]
        for extra in (["-sess_out", path], ["-sess_in", path]):
            result = subprocess.run(command + extra, input=request, capture_output=True, timeout=20)
        assert b"Reused, TLSv1" in result.stdout, result.stdout[-800:]


run()
