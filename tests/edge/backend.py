"""A backend that does what the path of a request asks for, on raw sockets, so that every byte it
receives can be looked at and every byte it sends is chosen. Runs in the test's own process."""

import hashlib
import re
import socket
import threading
import time


class Backend:
    def __init__(self, port=0):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", port))
        self.listener.listen(512)
        self.port = self.listener.getsockname()[1]
        self.lock = threading.Lock()
        self.heads = []  # every request head that came in whole
        self.connections = 0
        self.first_byte = threading.Event()
        self.aborted = threading.Event()  # a client went away in the middle
        self.sent = 0  # bytes of /flood
        self.release = threading.Event()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            sock, _ = self.listener.accept()
            with self.lock:
                self.connections += 1
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            head, rest = self.read_head(sock)
            if head is None:
                return
            with self.lock:
                self.heads.append(head)
            path = head.split(" ")[1]
            name = re.match(r"/([a-z0-9]*)", path).group(1) or "echo"
            getattr(self, "do_" + name)(sock, head, rest, path)
        except (OSError, EOFError):
            self.aborted.set()
        finally:
            sock.close()

    @staticmethod
    def read_head(sock):
        data = b""
        while b"\r\n\r\n" not in data:
            more = sock.recv(65536)
            if not more:
                return None, b""
            data += more
        head, rest = data.split(b"\r\n\r\n", 1)
        return head.decode("latin-1"), rest

    @staticmethod
    def field(head, name):
        found = re.findall(r"(?im)^%s: *(.*?)\r?$" % re.escape(name), head)
        return found[0] if found else None

    def read_body(self, sock, head, rest, note=None):
        """Yields pieces of the body; EOFError when it ends early."""
        length = self.field(head, "content-length")
        if length is not None:
            left = int(length)
            while left > 0:
                piece = rest or sock.recv(1 << 20)
                rest = b""
                if not piece:
                    raise EOFError
                self.first_byte.set()
                left -= len(piece)
                yield piece
        elif self.field(head, "transfer-encoding") == "chunked":
            stream = sock.makefile("rb")
            data = rest

            def line():
                nonlocal data
                while b"\r\n" not in data:
                    more = stream.read1(1 << 20)
                    if not more:
                        raise EOFError
                    data += more
                result, data = data.split(b"\r\n", 1)
                return result

            while True:
                size = int(line(), 16)
                while len(data) < size + 2:
                    more = stream.read1(1 << 20)
                    if not more:
                        raise EOFError
                    data += more
                piece, tail, data = data[:size], data[size : size + 2], data[size + 2 :]
                assert tail == b"\r\n"
                if size == 0:
                    return
                self.first_byte.set()
                yield piece

    @staticmethod
    def reply(sock, body, status="200 OK", extra=""):
        sock.sendall(
            f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode() + body
        )

    def do_echo(self, sock, head, rest, path):
        if self.field(head, "expect"):
            sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        digest = hashlib.sha256()
        n = 0
        for piece in self.read_body(sock, head, rest):
            digest.update(piece)
            n += len(piece)
        self.reply(sock, f"{head}\n\nbody {n} {digest.hexdigest()}\n".encode())

    def do_count(self, sock, head, rest, path):
        n = sum(len(piece) for piece in self.read_body(sock, head, rest))
        self.reply(sock, b"%d" % n)

    def do_missing(self, sock, head, rest, path):
        self.reply(sock, b"my own 404 page", "404 Not Here", "X-Mine: yes\r\n")

    def do_chunked(self, sock, head, rest, path):
        sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n")
        for piece in (b"one,", b"two,", b"three"):
            sock.sendall(b"%x;ext=1\r\n%s\r\n" % (len(piece), piece))
            time.sleep(0.02)
        sock.sendall(b"0\r\nX: y\r\n\r\n")

    def do_untilclose(self, sock, head, rest, path):
        sock.sendall(b"HTTP/1.0 200 OK\r\n\r\nall of it")

    def do_oldlf(self, sock, head, rest, path):
        sock.sendall(b"HTTP/1.0 200 OK\nServer: old\nContent-Length: 3\n\nold")

    def do_nocontent(self, sock, head, rest, path):
        sock.sendall(b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n")

    def do_notmodified(self, sock, head, rest, path):
        sock.sendall(b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\nContent-Length: 7\r\n\r\n')

    def do_headonly(self, sock, head, rest, path):
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n")

    def do_hints(self, sock, head, rest, path):
        sock.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n")
        self.reply(sock, b"hinted")

    def do_truncated(self, sock, head, rest, path):
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")

    def do_cutchunk(self, sock, head, rest, path):
        sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel")

    def do_garbage(self, sock, head, rest, path):
        sock.sendall(b"this is not HTTP\r\n\r\n")

    def do_twolengths(self, sock, head, rest, path):
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd")

    def do_hugehead(self, sock, head, rest, path):
        sock.sendall(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100000 + b"\r\n\r\n")

    def do_unasked(self, sock, head, rest, path):
        sock.sendall(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")

    def do_hangup(self, sock, head, rest, path):
        return

    def do_never(self, sock, head, rest, path):
        sock.recv(1)  # until the edge goes away
        self.aborted.set()

    def do_early(self, sock, head, rest, path):
        self.reply(sock, b"too much", "413 Payload Too Large")
        sock.shutdown(socket.SHUT_WR)
        try:
            while sock.recv(1 << 20):
                pass
        except OSError:
            pass

    def do_bytes(self, sock, head, rest, path):
        n = int(path.rsplit("/", 1)[1])
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % n)
        block = b"\xa5" * (1 << 20)
        while n > 0:
            sock.sendall(block[: min(n, len(block))])
            n -= min(n, len(block))

    def do_flood(self, sock, head, rest, path):
        """Never ends; counts what the edge took. /flood/1 sends single bytes."""
        size = int(path.rsplit("/", 1)[1])
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        self.sent = 0
        while True:
            sock.sendall(b"x" * size)
            self.sent += size

    def do_held(self, sock, head, rest, path):
        """Half of the response now, half when the test says so."""
        self.release.clear()
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
        self.release.wait(20)
        sock.sendall(b"secon")

    def do_ws(self, sock, head, rest, path):
        """101, then an echo of every byte; at the end of input "bye" and the end of output."""
        if self.field(head, "upgrade") is None:
            self.reply(sock, b"no upgrade here", "426 Upgrade Required")
            return
        sock.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
        )
        data = rest
        while True:
            if data:
                sock.sendall(data)
            data = sock.recv(65536)
            if not data:
                break
        sock.sendall(b"bye")

    def do_wsflood(self, sock, head, rest, path):
        """101, then bytes without end."""
        sock.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
        )
        while True:
            sock.sendall(b"x" * 65536)

    def do_wsclose(self, sock, head, rest, path):
        """101, then the backend ends its half first and still listens."""
        sock.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nlast words"
        )
        sock.shutdown(socket.SHUT_WR)
        heard = rest
        while True:
            data = sock.recv(65536)
            if not data:
                break
            heard += data
        self.heard = heard
        self.release.set()
