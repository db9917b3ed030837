#!/usr/bin/env python3
"""weir run, the supervisor, with two programs in the place of the real ones. Prints TAP.

The programs stand beside a copy of weir, where it looks first. Control serves the control socket;
the dataplane says that it is up by a file. What they do is told by files in the run directory:
fail-control, fail-dataplane: exit with this code at the start; hold: do not take over yet.

usage: test_run.py weir
"""
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import tap

WEIR = sys.argv[1]

FAKE = """#!%(python)s
import json, os, signal, socket, sys, threading, time
dir = %(dir)r
me = os.path.basename(sys.argv[0])
with open(dir + "/log", "a") as log:
    log.write(me + " " + " ".join(sys.argv[1:]) + "\\n")
if "--check" in sys.argv:
    if os.path.exists(dir + "/bad-config"):
        sys.exit("weir.conf:3: hub: wrong")
    print("good")
    sys.exit(0)
if "--cleanup" in sys.argv:
    sys.exit(0)
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
if os.path.exists(dir + "/stubborn-" + me):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.path.exists(dir + "/fail-" + me):
    print(me + ": my reason", file=sys.stderr)
    sys.exit(int(open(dir + "/fail-" + me).read()))
if me == "weir-dataplane":
    with open(dir + "/up", "w") as file:
        file.write(str(os.getpid()))
    signal.pause()
    signal.pause()
path = dir + "/control.sock"
while "--take-over" in sys.argv and os.path.exists(dir + "/hold"):
    time.sleep(0.005)
if os.path.exists(path):
    os.unlink(path)
server = socket.socket(socket.AF_UNIX)
server.bind(path)
server.listen()
if "--take-over" in sys.argv:
    open(dir + "/taken", "w").close()
def serve(client):
    for line in client.makefile("r"):
        ready = os.path.exists(dir + "/up")
        client.sendall((json.dumps({"id": None, "result": {
            "control": {"pid": os.getpid()}, "dataplane": {"ready": ready}}}) + "\\n").encode())
while True:
    threading.Thread(target=serve, args=server.accept()[:1], daemon=True).start()
"""


def wait_for(what, seconds=10):
    """Poll until what() is true; returns its value."""
    end = time.monotonic() + seconds
    while True:
        value = what()
        if value:
            return value
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.005)


class Stage:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="weir-test-run-")
        shutil.copy(WEIR, self.dir + "/weir")
        for name in ("weir-control", "weir-dataplane"):
            with open(f"{self.dir}/{name}", "w", encoding="utf-8") as file:
                file.write(FAKE % {"python": sys.executable, "dir": self.dir})
            os.chmod(f"{self.dir}/{name}", 0o755)
        self.write("weir.conf", f'control: {{ run_dir = "{self.dir}"; user = "someone"; }};\n')
        self.started = []

    def write(self, name, text):
        with open(f"{self.dir}/{name}", "w", encoding="utf-8") as file:
            file.write(text)

    def read(self, name):
        try:
            with open(f"{self.dir}/{name}", encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def command(self, *words):
        return [self.dir + "/weir", "run", "-c", self.dir + "/weir.conf", *words]

    def start(self):
        out = open(f"{self.dir}/out", "w", encoding="utf-8")
        process = subprocess.Popen(self.command(), stdout=out, stderr=out)
        out.close()
        self.started.append(process)
        return process

    def start_ready(self):
        process = self.start()
        wait_for(lambda: "weir: ready\n" in self.read("out"))
        return process

    def run(self, *words):
        return subprocess.run(self.command(*words), capture_output=True, text=True, timeout=30,
                              check=False)

    def pids(self):
        """[control, dataplane] as run.lock has them."""
        rows = [line.split() for line in self.read("run.lock").splitlines()]
        return [int(row[0]) for row in rows[:2]] if len(rows) >= 2 else [0, 0]

    def other_pid(self, i, old):
        return wait_for(lambda: self.pids()[i] not in (0, old) and self.pids()[i])

    def take_over(self, old):
        """Let the control that waits for it have the socket, and the old one end."""
        os.unlink(self.dir + "/hold")
        wait_for(lambda: os.path.exists(self.dir + "/taken"))
        os.kill(old, signal.SIGTERM)
        wait_for(lambda: not self.is_alive(old))

    def is_alive(self, pid):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
                return file.read().rsplit(")", 1)[1].split()[0] != "Z"
        except (FileNotFoundError, ProcessLookupError):
            return False  # gone before the open, or between open and read

    def end(self):
        left = [pid for pid in self.pids() if pid and self.is_alive(pid)]
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.wait()
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.dir)


def starts_control_then_dataplane_and_says_ready(stage):
    stage.start_ready()
    log = stage.read("log").splitlines()
    assert log[0] == f"weir-control -c {stage.dir}/weir.conf --check", log
    assert log[1] == f"weir-control -c {stage.dir}/weir.conf", log
    assert log[2] == f"weir-dataplane --socket {stage.dir}/dataplane.sock --control-user someone", log
    assert stage.read("out") == "weir: ready\n", stage.read("out")


def ends_both_on_sigterm_and_on_sigint(stage):
    for number in (signal.SIGTERM, signal.SIGINT):
        process = stage.start_ready()
        control, dataplane = stage.pids()
        process.send_signal(number)
        assert process.wait(10) == 0
        assert not stage.is_alive(control) and not stage.is_alive(dataplane)
        assert stage.read("log").splitlines()[-1].endswith("--cleanup")
        assert stage.read("run.lock") == ""
        os.unlink(stage.dir + "/up")


def kills_what_does_not_end(stage):
    stage.write("stubborn-weir-dataplane", "")
    process = stage.start_ready()
    control, dataplane = stage.pids()
    process.terminate()
    wait_for(lambda: not stage.is_alive(control))
    assert stage.is_alive(dataplane)
    assert process.wait(10) == 0
    assert not stage.is_alive(dataplane)


def starts_again_what_dies(stage):
    process = stage.start_ready()
    control, dataplane = stage.pids()
    os.kill(control, signal.SIGKILL)
    control = stage.other_pid(0, control)
    assert stage.pids()[1] == dataplane
    os.kill(dataplane, signal.SIGKILL)
    stage.other_pid(1, dataplane)
    assert stage.pids()[0] == control
    text = stage.read("out")
    assert "weir-control ended by signal 9 (Killed); it is started again in 10 ms" in text, text
    assert "weir-dataplane ended by signal 9 (Killed); it is started again in 10 ms" in text, text
    assert text.count("weir: ready") == 1
    process.terminate()
    assert process.wait(10) == 0


def waits_longer_each_time_up_to_five_seconds(stage):
    stage.start_ready()
    stage.write("fail-weir-dataplane", "1")
    os.kill(stage.pids()[1], signal.SIGKILL)
    wait_for(lambda: "again in 320 ms" in stage.read("out"))
    waits = [line.rsplit(" ", 2)[1] for line in stage.read("out").splitlines() if "again in" in line]
    assert waits[:6] == ["10", "20", "40", "80", "160", "320"], waits


def gives_up_when_control_refuses_at_first(stage):
    stage.write("fail-weir-control", "1")
    run = stage.run()
    assert run.returncode == 1 and "weir-control: my reason" in run.stderr, run
    assert "weir: weir-control ended with exit code 1; not started" in run.stderr, run
    assert "weir-dataplane" not in stage.read("log"), "the dataplane was started"


def gives_up_when_the_dataplane_refuses_at_first(stage):
    stage.write("fail-weir-dataplane", "1")
    run = stage.run()
    assert run.returncode == 1 and "weir-dataplane: my reason" in run.stderr, run
    assert stage.read("run.lock") == ""


def does_not_give_up_when_it_was_ready_before(stage):
    process = stage.start_ready()
    stage.write("fail-weir-control", "1")
    os.kill(stage.pids()[0], signal.SIGKILL)
    wait_for(lambda: stage.read("out").count("exit code 1; it is started again") >= 2)
    os.unlink(stage.dir + "/fail-weir-control")
    wait_for(lambda: stage.is_alive(stage.pids()[0]) and stage.read("log").count("\n") > 5)
    assert process.poll() is None


def a_bad_configuration_starts_nothing(stage):
    stage.write("bad-config", "")
    run = stage.run()
    assert run.returncode == 1 and "weir.conf:3: hub: wrong" in run.stderr and run.stdout == "", run
    assert stage.read("log").count("\n") == 1, stage.read("log")
    run = stage.run("--check")
    assert run.returncode == 1
    os.unlink(stage.dir + "/bad-config")
    run = stage.run("--check")
    assert run.returncode == 0 and run.stdout == "good\n", run
    assert "--check" in stage.read("log").splitlines()[-1]


def a_second_supervisor_is_refused(stage):
    process = stage.start_ready()
    pids = stage.pids()
    run = stage.run()
    assert run.returncode == 1 and "a hub is already running here" in run.stderr, run
    assert process.poll() is None and stage.pids() == pids


def both_outlive_the_supervisor_and_the_next_takes_them_over(stage):
    process = stage.start_ready()
    pids = stage.pids()
    process.kill()
    process.wait()
    assert all(stage.is_alive(pid) for pid in pids)
    process = stage.start_ready()
    assert stage.pids() == pids
    text = stage.read("out")
    assert f"took over weir-control (pid {pids[0]})" in text, text
    assert f"took over weir-dataplane (pid {pids[1]})" in text, text
    os.kill(pids[1], signal.SIGKILL)  # not a child of the new one, and watched all the same
    stage.other_pid(1, pids[1])
    process.terminate()
    assert process.wait(10) == 0
    wait_for(lambda: not stage.is_alive(pids[0]))


def a_dataplane_that_was_taken_over_outlives_a_control_that_refuses(stage):
    process = stage.start_ready()
    control, dataplane = stage.pids()
    process.kill()
    process.wait()
    os.kill(control, signal.SIGKILL)
    wait_for(lambda: not stage.is_alive(control))
    stage.write("fail-weir-control", "1")
    process = stage.start()
    wait_for(lambda: stage.read("out").count("weir-control ended with exit code 1; it is started again") >= 2)
    assert process.poll() is None and stage.is_alive(dataplane)
    os.unlink(stage.dir + "/fail-weir-control")
    wait_for(lambda: "weir: ready\n" in stage.read("out"))
    assert stage.pids()[1] == dataplane
    process.terminate()
    assert process.wait(10) == 0
    assert not stage.is_alive(dataplane)


@contextlib.contextmanager
def killed_in_an_upgrade(stage):
    """The supervisor is, with another control about to take over. Gives [control, dataplane], and the other."""
    process = stage.start_ready()
    pids = stage.pids()
    process.kill()
    process.wait()
    stage.write("hold", "")
    other = subprocess.Popen([stage.dir + "/weir-control", "-c", stage.dir + "/weir.conf", "--take-over"])
    try:
        stage.write("run.lock", "".join(f"{pid} {start_ticks(pid)}\n" for pid in (*pids, other.pid)))
        yield pids, other
    finally:
        other.kill()
        other.wait()
        os.unlink(stage.dir + "/up")


def start_ticks(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        return int(file.read().rsplit(")", 1)[1].split()[19])


def a_control_that_took_over_without_a_supervisor_is_taken_over(stage):
    with killed_in_an_upgrade(stage) as ((control, dataplane), other):
        stage.take_over(control)
        process = stage.start_ready()
        assert stage.pids() == [other.pid, dataplane], stage.pids()
        process.terminate()
        assert process.wait(10) == 0
        assert other.wait(10) == 0 and not stage.is_alive(dataplane)


def a_takeover_under_way_is_watched_by_the_next_supervisor(stage):
    with killed_in_an_upgrade(stage) as ((control, dataplane), other):
        process = stage.start_ready()
        assert stage.pids() == [control, dataplane], stage.pids()
        stage.take_over(control)
        wait_for(lambda: stage.pids() == [other.pid, dataplane])
        process.terminate()
        assert process.wait(10) == 0
        assert other.wait(10) == 0 and not stage.is_alive(dataplane)
    with killed_in_an_upgrade(stage) as ((control, dataplane), other):
        process = stage.start_ready()
        other.kill()
        wait_for(lambda: "the one before goes on" in stage.read("out"))
        assert stage.pids() == [control, dataplane] and stage.is_alive(control)
        process.terminate()
        assert process.wait(10) == 0
        assert not stage.is_alive(control) and not stage.is_alive(dataplane)


def a_noted_pid_that_is_another_process_is_not_taken_over(stage):
    other = subprocess.Popen(["sleep", "60"])
    stage.write("run.lock", f"{other.pid} 1\n{other.pid} 2\n")
    process = stage.start_ready()
    assert other.pid not in stage.pids() and "took over" not in stage.read("out")
    process.terminate()
    process.wait(10)
    assert other.poll() is None, "a strange process was ended"
    other.kill()
    other.wait()


def wrong_usage_is_exit_2(stage):
    for words in (["run"], ["run", "-c"], ["run", "-c", "x", "y"], ["run", "--frob"]):
        run = subprocess.run([stage.dir + "/weir", *words], capture_output=True, text=True,
                             timeout=30, check=False)
        assert run.returncode == 2 and "usage: weir run" in run.stderr, run
    for words, text in ((["run", "-c"], "-c needs a value"), (["upgrade", "--binary-dir"], "--binary-dir needs a value"),
                        (["upgrade", "-s"], "-s needs a value"), (["upgrade", "--only"], "--only needs a value"),
                        (["upgrade", "--only", "both"], '--only is "both", must be control or dataplane'),
                        (["upgrade", "now"], 'upgrade does not take "now"')):
        run = subprocess.run([stage.dir + "/weir", *words], capture_output=True, text=True,
                             timeout=30, check=False)
        assert run.returncode == 2 and run.stderr.startswith(f"weir: {text}\n"), run
    run = subprocess.run([stage.dir + "/weir", "help", "run"], capture_output=True, text=True,
                         timeout=30, check=False)
    assert run.returncode == 0 and "usage: weir run -c FILE" in run.stdout, run


def missing_programs_are_named(stage):
    os.unlink(stage.dir + "/weir-dataplane")
    run = stage.run()
    assert run.returncode == 1 and "weir-dataplane is neither in" in run.stderr, run


def on_a_stage(test):
    stage = Stage()
    try:
        test(stage)
    except Exception:
        print("".join(f"# out: {line}\n" for line in stage.read("out").splitlines()), end="")
        raise
    finally:
        stage.end()


for case in tap.cases_of(globals(), "stage"):
    tap.run_case(case.__name__, on_a_stage, case)
tap.done()
