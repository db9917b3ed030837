"""What a part of bench/run is made of, and what happens to it: a part is a list of steps, a step is
one command that prints one JSON object. This file knows no part in particular."""

import json
import os
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field


class NotRun(Exception):
    """A part or step cannot run here; the text says why."""


@dataclass
class Step:
    label: str                # what is shown while it runs
    command: list             # prints one JSON object on stdout
    seconds: float            # what it is expected to take
    arguments: dict = field(default_factory=dict)  # what told this step from its neighbours
    # From the exit status and stderr, the reason why this was no failure but could not run here.
    excuse: object = None     # callable(status, stderr) -> str or None


@dataclass
class Part:
    name: str                 # of the part and its file, as in --only
    title: str
    steps: object             # callable(context) -> list of Step; may raise NotRun


def last_line(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _end(process):
    """End what we started, and what it started: it leads a process group of its own."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        try:
            process.wait(timeout=20)
            return
        except subprocess.TimeoutExpired:
            continue


def run_step(step, wrap, show, time_limit):
    """Run one step. show(seconds, words) is called twice a second with the last line of its
    stderr. Returns a dictionary {label, command, arguments, seconds, status, ...}: status is
    "ok" with "output", or "failed" or "not run" with "reason"."""
    record = {"label": step.label, "command": " ".join(step.command), "arguments": step.arguments}
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as out, tempfile.NamedTemporaryFile("w+") as err:
        process = subprocess.Popen([*wrap, *step.command], stdin=subprocess.DEVNULL, stdout=out,
                                   stderr=err, start_new_session=True)
        try:
            while True:
                try:
                    process.wait(timeout=0.5)
                    break
                except subprocess.TimeoutExpired:
                    elapsed = time.monotonic() - began
                with open(err.name, errors="replace") as words:
                    show(elapsed, last_line(words.read()))
                if elapsed > time_limit:
                    _end(process)
                    break
        except BaseException:
            _end(process)
            raise
        record["seconds"] = round(time.monotonic() - began, 1)
        out.seek(0)
        err.seek(0)
        return record | _judge(step, process.returncode, out.read(), err.read(), time_limit)


def _judge(step, status, out, err, time_limit):
    excuse = step.excuse(status, err) if step.excuse and status != 0 else None
    if excuse:
        return {"status": "not run", "reason": excuse}
    if status < 0:
        return {"status": "failed", "reason": f"ended by signal {-status} (limit {time_limit:.0f} s): "
                                              f"{last_line(err)}"}
    if status != 0:
        return {"status": "failed", "reason": f"exit {status}: {last_line(err)}",
                "stderr": err[-4000:]}
    try:
        return {"status": "ok", "output": json.loads(out)}
    except ValueError as problem:
        return {"status": "failed", "reason": f"its output is not JSON: {problem}"}


def status_of(runs):
    """Of a part, from its steps: failed if one failed, ok if one ran, else not run."""
    found = {run["status"] for run in runs}
    return "failed" if "failed" in found else "ok" if "ok" in found else "not run"
