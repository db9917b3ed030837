"""Shows what runs and how long is left: one line that is written over on a terminal, else a line a
step and one more every 20 seconds."""

import sys
import time

EVERY = 20  # seconds between lines where nothing can be written over


def duration(seconds):
    seconds = int(max(0, seconds) + 0.5)
    return f"{seconds // 60} min {seconds % 60:02d} s" if seconds >= 60 else f"{seconds} s"


class Progress:
    def __init__(self, seconds, n_steps):
        """seconds: what all steps together are expected to take."""
        self.left, self.n_steps, self.number = seconds, n_steps, 0
        self.terminal = sys.stdout.isatty()
        self.label, self.expected, self.shown = "", 0.0, 0.0
        print(f"weir bench: {n_steps} steps, about {duration(seconds)}", flush=True)

    def _head(self):
        return f"[{self.number:2d}/{self.n_steps}] {self.label}"

    def begin(self, label, expected):
        self.number += 1
        self.label, self.expected, self.shown = label, expected, time.monotonic()
        if self.terminal:
            self.show(0, "")

    def show(self, elapsed, words):
        left = duration(self.left - min(elapsed, self.expected))
        line = f"{self._head()}  {duration(elapsed)}, about {left} left  {words}"
        if self.terminal:
            print(f"\r\033[K{line[:150]}", end="", flush=True)
        elif time.monotonic() - self.shown >= EVERY:
            self.shown = time.monotonic()
            print(line[:150], flush=True)

    def end(self, run):
        self.left -= self.expected
        verdict = "" if run["status"] == "ok" else f"  {run['status'].upper()}: {run['reason']}"
        line = f"{self._head():<64} {run['seconds']:6.1f} s, about {duration(self.left)} left{verdict}"
        print(("\r\033[K" if self.terminal else "") + line, flush=True)

    def note(self, label, words):
        self.number += 1
        self.label = label
        print(f"{self._head()}  {words}", flush=True)
