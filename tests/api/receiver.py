#!/usr/bin/env python3
"""A receiver of a hub's webhook, for tests: TLS, POST, answers as it is told.

usage: receiver.py PORT DIR   listens on 127.0.0.1 with a certificate of its own, DIR/receiver.pem, says "listening", and
                              prints each line that it is posted
"""
import http.server
import json
import os
import ssl
import subprocess
import sys
import threading


def certificate(where, host):
    """A self-signed one, which is its own authority."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=test", "-addext", f"subjectAltName={host}", "-keyout", f"{where}.key", "-out", f"{where}.pem"],
                   check=True, capture_output=True)
    return f"{where}.pem", f"{where}.key"


class Receiver:
    """Answers each POST with the next of these statuses, the last one for ever; "silence" is no answer."""

    def __init__(self, cert, key, statuses, port=0, on_taken=lambda body: None):
        receiver = self
        self.statuses, self.posts, self.lock, self.over = list(statuses), [], threading.Lock(), threading.Event()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):  # pylint: disable=invalid-name
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                with receiver.lock:
                    status = receiver.statuses.pop(0) if len(receiver.statuses) > 1 else receiver.statuses[0]
                    receiver.posts.append((status, self.headers["Content-Type"], body))
                if status == "silence":
                    receiver.over.wait(60)
                    return
                if status == 200:
                    on_taken(body)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                if status == 302:
                    self.send_header("Location", "https://localhost:1/")
                self.end_headers()

            def log_message(self, *_):  # pylint: disable=arguments-differ
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def taken(self):
        """The events of all posts that were answered with 200."""
        with self.lock:
            return [json.loads(line) for status, _, body in self.posts if status == 200 for line in body.splitlines()]

    def end(self):
        self.over.set()
        self.server.shutdown()
        self.server.server_close()


def main(port, where):
    cert, key = certificate(os.path.join(where, "receiver"), "IP:127.0.0.1")
    receiver = Receiver(cert, key, (200,), int(port), lambda body: print(body, end="", flush=True))
    print("listening", flush=True)
    receiver.over.wait()


if __name__ == "__main__":
    main(*sys.argv[1:3])
