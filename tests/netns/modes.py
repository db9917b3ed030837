#!/usr/bin/env python3
"""Who could open what is made below some directories, at its first sight (H10).

usage: modes.py DIR...   watches until standard input ends, then prints what was made and fails if any was open to others

What is made open and closed to others a moment later could be missed by looking, so whatever stays ours may have no
change of mode at all. (What root gives to another user has one: the giving.)
"""
import ctypes
import os
import select
import stat
import struct
import sys

IN_ATTRIB, IN_MOVED_TO, IN_CREATE, IN_ONLYDIR = 0x4, 0x80, 0x100, 0x1000000
LIBC = ctypes.CDLL(None, use_errno=True)


class Watch:
    """What was made, by path: kind, mode at first sight, changes of mode or owner since, and whose it is now."""

    def __init__(self, roots):
        self.fd = LIBC.inotify_init1(0)
        self.directories = {}
        self.made = {}
        for root in roots:
            self.enter(root)

    def enter(self, path):
        number = LIBC.inotify_add_watch(self.fd, path.encode(), IN_ATTRIB | IN_MOVED_TO | IN_CREATE | IN_ONLYDIR)
        if number < 0:
            sys.exit(f"modes.py: {path}: {os.strerror(ctypes.get_errno())}")
        self.directories[number] = path

    def see(self, path):
        """At its first sight."""
        try:
            now = os.lstat(path)
        except FileNotFoundError:
            return
        if path in self.made or stat.S_ISLNK(now.st_mode):
            return
        self.made[path] = {"mode": now.st_mode, "changes": 0}
        if stat.S_ISDIR(now.st_mode):
            self.enter(path)
            for name in os.listdir(path):  # what was made before the watch
                self.see(os.path.join(path, name))

    def turn(self):
        data = os.read(self.fd, 65536)
        while data:
            number, what, _, length = struct.unpack("iIII", data[:16])
            name = data[16:16 + length].rstrip(b"\0").decode()
            data = data[16 + length:]
            path = os.path.join(self.directories[number], name)
            if what & (IN_CREATE | IN_MOVED_TO):
                if what & IN_CREATE:
                    self.made.pop(path, None)
                self.see(path)
            elif what & IN_ATTRIB and name and path in self.made and os.path.lexists(path):
                self.made[path]["changes"] += 1

    def report(self):
        bad = 0
        for path, one in sorted(self.made.items()):
            whose = os.lstat(path).st_uid if os.path.lexists(path) else None
            open_to_others = one["mode"] & 0o077 != 0
            changed = one["changes"] > 0 and whose == os.geteuid()
            bad += open_to_others or changed
            print(f"{'BAD ' if open_to_others or changed else ''}{stat.filemode(one['mode'])} changes={one['changes']} uid={whose} {path}")
        print(f"{len(self.made)} made, {bad} open to others")
        return bad


def main():
    watch = Watch(sys.argv[1:])
    print("watching", flush=True)
    while True:
        ready, _, _ = select.select([watch.fd, sys.stdin], [], [])
        if watch.fd in ready:
            watch.turn()
        elif sys.stdin in ready and not os.read(sys.stdin.fileno(), 4096):
            sys.exit(watch.report() != 0)


main()
