"""The parts of bench/run: which commands each consists of, quick and full. A part whose program or
subcommand is missing raises NotRun with the reason; it is then reported, not left out."""

import os
import subprocess

from figures import TITLES
from step import NotRun, Part, Step

BACKENDS = ("avx512", "avx2", "ipsec-mb", "sodium")
SIZES_QUICK = "64,512,1420,imix"
SIZES_ALL = "64,128,256,512,1024,1280,1420,imix"


class Context:
    """What the parts ask about: quick or not, and the programs of the build folder."""

    def __init__(self, top, build, quick):
        self.top, self.build, self.quick = top, build, quick
        self.bench = os.path.join(build, "bench", "weir-bench")
        self.usage = subprocess.run([self.bench, "--help"], capture_output=True, text=True,
                                    check=False).stdout

    def pick(self, quick, full):
        return quick if self.quick else full

    def need_subcommand(self, name):
        if not any(line.split()[:1] == [name] for line in self.usage.splitlines()
                   if line.startswith("  ")):
            raise NotRun(f"weir-bench has no subcommand {name}")

    def need_option(self, name):
        if name not in self.usage:
            raise NotRun(f"weir-bench has no option {name}")

    def weir_bench(self, *arguments):
        return [self.bench, *arguments, "--json"]

    def script(self, name, *arguments):
        return ["bash", os.path.join(self.top, "bench", "parts", name), *map(str, arguments)]


def cpu_cannot(status, stderr):
    if status == 1 and "backend cannot be used" in stderr:
        return "this CPU cannot: " + stderr.strip().splitlines()[-1]
    return None


def aead_steps(context):
    rounds = context.pick(121, 1001)
    sizes = context.pick(SIZES_QUICK, SIZES_ALL)
    steps = []
    for backend in BACKENDS:
        steps.append(Step(f"{backend}, bursts of 32",
                          context.weir_bench("aead", "--backend", backend, "--size", sizes,
                                             "--rounds", str(rounds)),
                          context.pick(0.5, 5), {"backend": backend, "burst": 32}, cpu_cannot))
    for burst in context.pick((1, 4, 8, 64), (1, 2, 4, 8, 16, 64)):
        steps.append(Step(f"auto, bursts of {burst}",
                          context.weir_bench("aead", "--backend", "auto", "--size", SIZES_QUICK,
                                             "--rounds", str(rounds), "--burst", str(burst)),
                          context.pick(0.5, 4), {"backend": "auto", "burst": burst}))
    return steps


def path_steps(context):
    def step(peers, how, *more):
        return Step(f"{peers} peers, {how}",
                    context.weir_bench("path", "--size", context.pick(SIZES_QUICK, SIZES_ALL), "--peers", str(peers),
                                       "--rounds", str(context.pick(121, 1001)), *more),
                    context.pick(1, 10), {"peers": peers, "without_policy": True} if more else {"peers": peers})

    return [*(step(peers, "by station") for peers in (256, 4096)),
            *(step(peers, "without the policy", "--without-policy") for peers in (256, 4096))]


def peers_steps(context):
    rounds = context.pick(121, 1001)
    return [Step(f"{peers} peer" + ("s" if peers > 1 else ""),
                 context.weir_bench("path", "--size", SIZES_QUICK, "--peers", str(peers),
                                    "--rounds", str(rounds)),
                 context.pick(1, 8), {"peers": peers})
            for peers in context.pick((1, 16, 256, 4096), (1, 4, 16, 64, 256, 1024, 4096))]


def subcommand_steps(name, quick, full, *arguments):
    """A part that is one subcommand of weir-bench; quick and full are (seconds, arguments)."""
    def steps(context):
        context.need_subcommand(name)
        seconds, more = context.pick(quick, full)
        return [Step(name, context.weir_bench(name, *arguments, *more), seconds)]
    return steps


def policy_steps(context):
    context.need_option("--policy")
    rounds = context.pick("121", "301")
    return [Step("by itself", context.weir_bench("policy", "--rounds", rounds), context.pick(6, 15)),
            *(Step(f"on the path, {peers} peers",
                   context.weir_bench("path", "--policy", "--peers", str(peers), "--rounds", rounds),
                   context.pick(8, 20), {"peers": peers}) for peers in (256, 10000))]


def need_two_cpus():
    if len(os.sched_getaffinity(0)) < 2:
        raise NotRun("needs two CPUs")


def heavy_steps(context):
    need_two_cpus()
    return subcommand_steps("heavy", (5, ["--size", SIZES_QUICK]), (60, ["--rounds", "1001"]))(context)


def overload_steps(context):
    need_two_cpus()
    return subcommand_steps("overload", (8, ["--size", "64", "--rounds", "100"]), (30, ["--rounds", "201"]))(context)


def cores_steps(context):
    if not os.access(os.path.join(context.build, "tools", "pktgen", "weir-pktgen"), os.X_OK):
        raise NotRun("the build folder has no weir-pktgen")
    need_two_cpus()
    seconds, trials, sweeps = context.pick((0.2, 2, 4), (2, 4, 32))
    sizes = context.pick(("64", "1420"), ("64", "512", "1420", "imix"))
    return [Step("peer to peer over vhost-user, " + ", ".join(sizes),
                 context.script("cores.sh", seconds, 256, trials, sweeps, *sizes),
                 len(sizes) * ((trials + 3 + 12) * (seconds + 0.4) + 1.7 * sweeps),
                 {"seconds": seconds})]


def network_steps(context):
    rounds, seconds, pings = context.pick((3, 1, 50), (15, 3, 200))
    return [Step(f"{rounds} rounds of {seconds} s, weir and wireguard-go as hub in turn",
                 context.script("network.sh", rounds, seconds, pings),
                 10 + rounds * (2 * seconds + 3 * pings * 0.02 + 1),
                 {"rounds": rounds, "seconds": seconds})]


def memory_steps(context):
    peers = context.pick(1000, 10000)
    return [Step(f"idle, then with {peers} peers", context.script("memory.sh", peers),
                 context.pick(8, 40), {"peers": peers})]


STEPS = {
    "aead": aead_steps,
    "path": path_steps,
    "hub": subcommand_steps("hub", (2, []), (15, ["--rounds", "1001"])),
    "peers": peers_steps,
    "policy": policy_steps,
    "block": subcommand_steps("block", (15, ["--rounds", "100"]), (30, ["--rounds", "301"])),
    "scale": subcommand_steps("scale", (10, ["--rounds", "601"]), (30, ["--rounds", "3001"])),
    "handshake": subcommand_steps("handshake", (2, []), (25, ["--rounds", "1001"])),
    "overload": overload_steps,
    "heavy": heavy_steps,
    "cores": cores_steps,
    "network": network_steps,
    "memory": memory_steps,
}
# In the order of the report, which has words for each.
PARTS = [Part(name, title, STEPS[name]) for name, title in TITLES.items()]
