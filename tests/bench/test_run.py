#!/usr/bin/env python3
"""bench/run from outside: options and refusals, the JSON and the page it leaves, parts that fail and
parts that cannot run, and that nothing is left when it is ended. Most of it with a weir-bench of
its own, which is a shell script; one case measures. argv: the tree, the build folder."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time

from tap import done, run_cases

TOP, BUILD = sys.argv[1], sys.argv[2]
RUN = os.path.join(TOP, "bench", "run")

FAKE = """#!/bin/sh
usage="  aead  bursts
  path  stations"
case $1 in
--help) echo "$usage" ;;
machine) echo '{"machine": {"cpu": "test", "tsc_ghz": 1, "clock_ratio": 1}}' ;;
*) BODY ;;
esac
"""
NOTHING = """echo '{"results": []}'"""


class Folder:
    """A build folder with a weir-bench that does what body says, and a place for results."""

    def __init__(self, body=NOTHING):
        self.temporary = tempfile.TemporaryDirectory(prefix="weir-run.")
        self.build = os.path.join(self.temporary.name, "build")
        self.out = os.path.join(self.temporary.name, "out")
        os.makedirs(os.path.join(self.build, "bench"))
        path = os.path.join(self.build, "bench", "weir-bench")
        with open(path, "w", encoding="utf-8") as file:
            file.write(FAKE.replace("BODY", body))
        os.chmod(path, 0o755)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.temporary.cleanup()

    def command(self, *arguments):
        return [RUN, "--build", self.build, "--out", self.out, "--quick", *arguments]

    def run(self, *arguments):
        return run(*self.command(*arguments)[1:])

    def result(self, part):
        with open(os.path.join(self.out, part + ".json"), encoding="utf-8") as file:
            return json.load(file)


def run(*arguments):
    return subprocess.run([RUN, *arguments], capture_output=True, text=True, timeout=120, check=False)


def refused(*texts, arguments):
    found = run(*arguments)
    assert found.returncode == 2 and found.stdout == "", f"exit {found.returncode}: {found.stdout}"
    for text in texts:
        assert text in found.stderr, f"\"{text}\" is not in: {found.stderr}"


def help_names_every_option_and_part():
    found = run("--help")
    assert found.returncode == 0, found
    for word in ("--quick", "--only", "--list", "--out", "--build", "--wrap", "aead", "network", "memory"):
        assert word in found.stdout, f"{word} is not in the help"


def list_has_a_line_a_part():
    lines = run("--list").stdout.splitlines()
    assert [line.split()[0] for line in lines][:2] == ["aead", "path"] and len(lines) >= 5, lines
    assert len(run("--list", "--only", "path").stdout.splitlines()) == 1


def wrong_arguments_are_refused_with_what_is_taken():
    refused('"foo" is no part', "aead, path", arguments=["--only", "aead,foo"])
    refused("--fast", "usage:", arguments=["--fast"])
    refused("--only", "expected one argument", arguments=["--only"])
    refused("--qui", arguments=["--qui"])
    refused("/dev/null/x", "Not a directory", arguments=["--out", "/dev/null/x", "--build", BUILD])
    refused("no bench/weir-bench", arguments=["--build", "/nonexistent", "--out", "/tmp"])


def a_result_says_when_where_and_from_what():
    with Folder() as folder:
        found = folder.run("--only", "path")
        assert found.returncode == 0, found
        result = folder.result("path")
        assert result["status"] == "ok" and result["quick"] and result["machine"]["cpu"] == "test", result
        assert result["machine"]["cpus"] and result["machine"]["load"] >= 0 and result["date"].startswith("20") and result["commit"], result
        assert result["runs"][0]["output"] == {"results": []}, result
        assert "weir-bench path" in result["runs"][0]["command"], result
        assert not os.path.exists(os.path.join(folder.out, "aead.json"))


def programs_but(left_out, folder):
    """A folder with links to all programs there are, but one."""
    os.mkdir(folder)
    for place in reversed(os.environ["PATH"].split(":")):
        for name in os.listdir(place) if os.path.isdir(place) else []:
            link = os.path.join(folder, name)
            if os.path.lexists(link):
                os.remove(link)
            os.symlink(os.path.join(place, name), link)
    os.remove(os.path.join(folder, left_out))
    return folder


def a_machine_without_git_measures_all_the_same():
    with Folder() as folder:
        path = programs_but("git", os.path.join(folder.temporary.name, "bin"))
        found = subprocess.run(folder.command("--only", "path"), capture_output=True, text=True, timeout=120, check=False,
                               env=os.environ | {"PATH": path})
        assert found.returncode == 0, found
        assert folder.result("path")["status"] == "ok" and folder.result("path")["commit"] == "unknown", folder.result("path")


def a_failed_part_is_shown_and_the_others_still_run():
    with Folder(f"case $1 in aead) echo broken >&2; exit 3 ;; *) {NOTHING} ;; esac") as folder:
        found = folder.run("--only", "aead,path")
        assert found.returncode == 1 and "exit 3: broken" in found.stderr, found
        assert folder.result("aead")["status"] == "failed" and folder.result("path")["status"] == "ok"
        assert "failed: exit 3: broken" in found.stdout, found.stdout


def output_that_is_no_json_is_a_failure():
    with Folder("echo hello") as folder:
        found = folder.run("--only", "path")
        assert found.returncode == 1 and "not JSON" in found.stderr, found


def a_backend_that_the_cpu_lacks_is_not_run_and_no_failure():
    body = f"case $3 in avx*) echo 'weir-bench: backend cannot be used: x' >&2; exit 1 ;; *) {NOTHING} ;; esac"
    with Folder(body) as folder:
        found = folder.run("--only", "aead")
        assert found.returncode == 0, found
        status = {r["arguments"]["backend"]: r["status"] for r in folder.result("aead")["runs"]}
        assert status["avx512"] == "not run" and status["sodium"] == "ok", status
        assert "this CPU cannot" in found.stdout, found.stdout


def every_part_that_was_not_run_is_in_the_table_and_the_page():
    with Folder() as folder:
        found = folder.run("--only", "path")
        with open(os.path.join(folder.out, "report.html"), encoding="utf-8") as file:
            page = file.read()
        for line in run("--list").stdout.splitlines():
            part = line.split()[0]
            assert any(row.startswith(part) for row in found.stdout.splitlines()), f"{part}: {found.stdout}"
            assert f'id="{part}"' in page, part


def results_of_an_earlier_run_stay():
    with Folder() as folder:
        folder.run("--only", "aead")
        date = folder.result("aead")["date"]
        folder.run("--only", "path")
        assert folder.result("aead")["date"] == date


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(condition, what):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, f"no {what} in 30 s"
        time.sleep(0.02)


def what_it_started_ends_with_it():
    for number in (signal.SIGTERM, signal.SIGINT):
        with Folder() as folder:
            pid_file = os.path.join(folder.temporary.name, "pid")
            with open(os.path.join(folder.build, "bench", "weir-bench"), "w", encoding="utf-8") as file:
                file.write(FAKE.replace("BODY", f"sleep 1000 & echo $! > {pid_file}.new; mv {pid_file}.new {pid_file}; wait"))
            process = subprocess.Popen(folder.command("--only", "path"), stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
            wait_for(lambda: os.path.exists(pid_file), "measurement")
            with open(pid_file, encoding="utf-8") as file:
                child = int(file.read())
            process.send_signal(number)
            assert process.wait(timeout=40) == 128 + number, process.returncode
            wait_for(lambda: not alive(child), f"end of process {child}")


def aead_is_measured_in_a_quick_run():
    with tempfile.TemporaryDirectory(prefix="weir-run.") as out:
        found = run("--build", BUILD, "--out", out, "--quick", "--only", "aead")
        assert found.returncode == 0, f"exit {found.returncode}: {found.stdout[-800:]} {found.stderr[-800:]}"
        with open(os.path.join(out, "aead.json"), encoding="utf-8") as file:
            result = json.load(file)
        rows = [row for r in result["runs"] if r["status"] == "ok" for row in r["output"]["results"]]
        assert result["status"] == "ok" and len(rows) >= 16 and all(row["rounds"] >= 100 for row in rows)
        assert "ratio to ipsec-mb" in found.stdout, found.stdout
        assert os.path.getsize(os.path.join(out, "report.html")) > 10000


run_cases([help_names_every_option_and_part, list_has_a_line_a_part,
           wrong_arguments_are_refused_with_what_is_taken, a_result_says_when_where_and_from_what,
           a_machine_without_git_measures_all_the_same,
           a_failed_part_is_shown_and_the_others_still_run, output_that_is_no_json_is_a_failure,
           a_backend_that_the_cpu_lacks_is_not_run_and_no_failure,
           every_part_that_was_not_run_is_in_the_table_and_the_page, results_of_an_earlier_run_stay,
           what_it_started_ends_with_it, aead_is_measured_in_a_quick_run])
done()
