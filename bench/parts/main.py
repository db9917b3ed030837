"""bench/run: options, set-up, the parts one after the other, their JSON files, the table and the
page. The parts are in parts.py, what their figures mean in ../report."""

import argparse
import datetime
import json
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "bench", "report"))

import figures  # noqa: E402
import page  # noqa: E402
from parts import PARTS, Context  # noqa: E402
from progress import Progress  # noqa: E402
from step import NotRun, run_step, status_of  # noqa: E402

NAMES = [part.name for part in PARTS]
HUGEPAGES = 96
TIME_LIMIT_LEAST = 120  # seconds; or ten times what a step is expected to take


def part_list(text):
    names = text.split(",")
    for name in names:
        if name not in NAMES:
            raise argparse.ArgumentTypeError(f"\"{name}\" is no part; parts are {', '.join(NAMES)}")
    return names


def parse_arguments():
    parser = argparse.ArgumentParser(
        prog="bench/run", formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
        description="Run every benchmark that this machine can; print each figure beside its bound;\n"
                    "write DIR/PART.json and DIR/report.html.",
        epilog="parts:\n" + "".join(f"  {part.name:<10} {part.title}\n" for part in PARTS)
        + "\nExit status: 0, 1 when a part failed (a missed bound is no failure), 2 for wrong arguments.")
    parser.add_argument("--quick", action="store_true",
                        help="fewer sizes, fewer rounds: under three minutes, without the build")
    parser.add_argument("--only", metavar="PART,...", type=part_list, help="only these parts")
    parser.add_argument("--list", action="store_true", help="list the parts")
    parser.add_argument("--out", metavar="DIR", default=os.path.join(TOP, "bench", "out"),
                        help="where results go (default: bench/out); those of parts that do not "
                             "run now stay, and stay in the page")
    parser.add_argument("--build", metavar="DIR", help="use this build folder as it is, set up "
                                                       "nothing (no packages, hugepages, build)")
    parser.add_argument("--wrap", metavar="COMMAND", type=shlex.split, default=[],
                        help="put this in front of each measurement, such as \"taskset -c 1\"")
    return parser.parse_args()


def nr_hugepages():
    try:
        with open("/proc/sys/vm/nr_hugepages", encoding="utf-8") as file:
            return int(file.read())
    except OSError:
        return 0


def setup(*words):
    """A function of tools/lib/setup.sh."""
    return subprocess.run(["bash", "-c", '. "$0/tools/lib/setup.sh"; "$@"', TOP, *words],
                          stdout=subprocess.PIPE, text=True, check=True).stdout


class Hugepages:
    """So many free huge pages while it lasts, where the kernel gives them."""

    def __init__(self, n):
        self.wanted, self.before, self.added = n, nr_hugepages(), 0

    def __enter__(self):
        self.added = int(setup("setup_hugepages", str(self.wanted)) or 0) if self.wanted else 0

    def __exit__(self, *_):
        # Somebody else may have given some back meanwhile: never go below what was there.
        added = min(self.added, nr_hugepages() - self.before)
        setup("setup_hugepages_release", str(max(0, added)))


def set_up():
    """Packages, build. What it does is shown as it does it."""
    lists = [os.path.join(TOP, "tools", f"packages{kind}.txt") for kind in ("", "-demo")]
    steps = 'setup_need_root; setup_packages "$1" "$2"; setup_build "$0/build" gcc || exit 1'
    done = subprocess.run(["bash", "-c", f'. "$0/tools/lib/setup.sh"; {steps}', TOP, *lists],
                          check=False)
    if done.returncode != 0:
        sys.exit(1)


def git(*words):
    """What git says, or nothing: there need be no git, and no repository."""
    if shutil.which("git") is None:
        return ""
    done = subprocess.run(["git", "-C", TOP, *words], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def machine(context):
    """What this machine is, with its clock now."""
    done = subprocess.run(context.weir_bench("machine"), capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)["machine"] if done.returncode == 0 else {}
    with open("/proc/meminfo", encoding="utf-8") as file:
        memory_kb = int(next(line.split()[1] for line in file if line.startswith("MemTotal")))
    return found | {"cpus": os.cpu_count(), "memory_gb": round(memory_kb / 2**20, 1),
                    "load": round(os.getloadavg()[0], 2), "kernel": f"{platform.system()} {platform.release()}"}


def plan(part, context):
    """(steps, None) or (None, why it cannot run)."""
    try:
        return part.steps(context), None
    except NotRun as reason:
        return None, str(reason)


def run_part(part, steps, reason, context, wrap, progress):
    result = {"part": part.name, "title": part.title, "quick": context.quick,
              "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
              "commit": git("rev-parse", "--short=12", "HEAD") or "unknown",
              "modified": bool(git("status", "--porcelain", "--untracked-files=no")),
              "machine": machine(context)}
    if steps is None:
        progress.note(part.title, f"not run: {reason}")
        return result | {"status": "not run", "reason": reason, "runs": []}
    runs = []
    for step in steps:
        progress.begin(f"{part.name}: {step.label}", step.seconds)
        runs.append(run_step(step, wrap, progress.show,
                             max(TIME_LIMIT_LEAST, 10 * step.seconds)))
        progress.end(runs[-1])
    return result | {"status": status_of(runs), "runs": runs}


def write(path, text):
    """Whole or not at all: a reader never sees half a file."""
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(path + ".new", path)


def run_parts(chosen, context, arguments):
    planned = [(part, *plan(part, context)) for part in chosen]
    progress = Progress(sum(step.seconds for _, steps, _ in planned for step in steps or []),
                        sum(len(steps) if steps else 1 for _, steps, _ in planned))
    for part, steps, reason in planned:
        result = run_part(part, steps, reason, context, arguments.wrap, progress)
        write(os.path.join(arguments.out, part.name + ".json"), json.dumps(result, indent=1) + "\n")


def main():
    arguments = parse_arguments()
    chosen = [part for part in PARTS if arguments.only is None or part.name in arguments.only]
    build = os.path.abspath(arguments.build or os.path.join(TOP, "build"))
    os.environ["WEIR_BUILD"] = build
    os.chdir(TOP)
    if arguments.list:
        for part in chosen:
            print(f"{part.name:<10} {part.title}")
        return 0
    arguments.out = os.path.abspath(arguments.out)
    try:
        os.makedirs(arguments.out, exist_ok=True)
    except OSError as problem:
        print(f"bench/run: --out {arguments.out}: {problem.strerror}", file=sys.stderr)
        return 2
    if arguments.build is None:
        print("weir bench: set-up", flush=True)
        set_up()
    elif not os.access(os.path.join(build, "bench", "weir-bench"), os.X_OK):
        print(f"bench/run: --build {build}: has no bench/weir-bench", file=sys.stderr)
        return 2
    began = time.monotonic()
    with Hugepages(HUGEPAGES if arguments.build is None else 0):
        run_parts(chosen, Context(TOP, build, arguments.quick), arguments)
    results = figures.load(arguments.out)
    write(os.path.join(arguments.out, "report.html"), page.render(results))
    print(figures.text_table(results))
    print(f"\n{arguments.out}/report.html, *.json    {time.monotonic() - began:.0f} s")
    failed = [part.name for part in chosen if results[part.name]["status"] == "failed"]
    for name in failed:
        for run in results[name]["runs"]:
            if run["status"] == "failed":
                print(f"failed: {name}: {run['label']}: {run['reason']}", file=sys.stderr)
    return 1 if failed else 0


def stop(*_):
    sys.exit(143)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)  # so that what runs is ended and huge pages go back
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # whoever read has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
