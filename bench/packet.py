#!/usr/bin/env python3
"""What the packet filter costs: a dropped frame, a blocked address, calls beside a flood, intercepted connections.

usage: cargo xtask bench packet [--rounds N] [--frames N] [--no-flood]
       cargo xtask bench packet --interception   only that row; the other samples stay as they are

The work is done by examples of the rooms `kernel` and `packet` in network namespaces that they make themselves; needs
root, nft and ethtool. CPU time counts, the making of the frames included, and ways take turns in each round, so that
ratios hold on a busy machine. Raw samples go to `bench/results/packet.json`.
"""
import json, os, platform, re, socket, statistics, subprocess, sys, tempfile, time

sys.dont_write_bytecode = True
from train import ringwall

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
RESULTS = os.path.join(HERE, "results", "packet.json")
BARE, OWN, XDP, LIMITED = "netdev drop, no list", "ringwall nftables", "ringwall XDP", "ringwall XDP, limits on"
SINGLY = "ringwall nftables, blocked singly"
# Rules between workloads, a link for each, and blocks one after the other.
ROUTER, UNNAMED = "isolated router", "isolated router, links not named"
BLOCKS = 300
# Other examples of this bench, which print their own table.
OTHERS = [("ringwall-kernel", "apply_cost"), ("ringwall-packet", "compile_cost")]
DEADLINE = 240


def main():
    words = sys.argv[1:]
    if words == ["--interception"]:
        return only_interception()
    result = json.loads(run("ringwall-kernel", "drop_cost", words))
    result["binary"] = binary()
    result["interception"] = json.loads(run("ringwall-kernel", "intercept_cost", []))
    result["others"] = {name: run(package, name, []) for package, name in OTHERS}
    result = {"command": "cargo xtask bench packet", "kernel": platform.release(), "versions": versions(),
              "load": os.getloadavg(), **result}
    end(result)


def only_interception():
    with open(RESULTS) as file:
        result = json.load(file)
    result["interception"] = json.loads(run("ringwall-kernel", "intercept_cost", []))
    result["interception_load"] = os.getloadavg()
    end(result)


def report(result):
    """Prints the tables; whether each target is met."""
    held = drops(result["drops"], result["listed"])
    held += lists(result["lists"])
    if result["flood"]:
        held += flood(result["flood"])
    held += commands(result["binary"])
    held += interception(result["interception"])
    for name, text in result["others"].items():
        print(f"\n{name}\n{text.rstrip()}")
    held += apply(result["others"]["apply_cost"])
    print(f"\n{sum(held)} of {len(held)} targets met; load of the machine {result['load'][0]:.1f}")
    return held


def end(result):
    held = report(result)
    with open(RESULTS, "w") as file:
        file.write(json.dumps(result, separators=(",", ":")) + "\n")
    sys.exit(0 if all(held) else 1)


def run(package, name, words):
    """An example's output."""
    command = ["cargo", "run", "--quiet", "--release", "--package", package, "--example", name]
    subprocess.run([*command[:1], "build", *command[2:]], cwd=ROOT, check=True)
    out = subprocess.run([*command, "--", *words], cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=DEADLINE)
    if out.returncode:
        raise SystemExit(f"{name} failed")
    return out.stdout


def drops(samples, listed):
    print(f"one dropped frame, {listed} addresses listed: CPU ns, smallest and median of the rounds\n")
    held = []
    for path in ("driver", "neighbour"):
        costs = {}
        for sample in samples:
            if sample["path"] == path:
                costs.setdefault(sample["way"], []).append(sample["cpu_ns"] / sample["arrived"])
        low = {way: min(costs) for way, costs in costs.items()}
        print(f"frames of a {path}")
        for way, all in costs.items():
            print(f"  {way:28}{low[way]:7.0f}{statistics.median(all):7.0f}   {low[way] / low[BARE]:5.2f} × bare drop")
        target = path == "driver"
        held += ratio("nftables to a bare netdev drop", low[OWN] / low[BARE], 1.6, target)
        held += ratio("the same for single blocks", low[SINGLY] / low[BARE], 1.6, target)
        held += ratio("the same in the router of workloads", low[ROUTER] / low[BARE], 1.6, target)
        held += ratio("were its links not named", low[UNNAMED] / low[BARE], 1.6, False)
        held += ratio("XDP to nftables", low[XDP] / low[OWN], 0.5, target)
        print()
    return held


def lists(costs):
    print("one address more beside the list: µs p50, p99; a feed of 100,000: ms")
    held = []
    for way, cost in costs.items():
        times = sorted(cost["block_ns"])
        p50, p99 = (times[len(times) * part // 100] / 1000 for part in (50, 99))
        print(f"  {way:28}{p50:7.1f}{p99:7.1f}   {cost['feed_us'] / 1000:7.0f}")
        if way == OWN:
            held += ratio("block one address, p99 in µs", p99, 50, True)
            held += ratio("feed of 100,000, seconds", cost["feed_us"] / 1e6, 1, True)
    return held


# A machine of its own with one link, whose wall it runs.
MACHINE = """ip link set lo up && ip link add eth0 type veth peer name eth1 && ip link set eth0 up && ip link set eth1 up \\
&& ip address add 192.0.2.1/24 dev eth0 && exec "$@" """


def binary():
    """`ringwall block` through the built binary: microseconds to the kernel's yes, and to the answer."""
    program, _ = ringwall()
    with tempfile.TemporaryDirectory() as folder:
        state = os.path.join(folder, "state")
        words = [program, "up", "examples/ai-platform", "--stand-in", "--state-dir", state, "--set", "block_links=eth0"]
        wall = subprocess.Popen(["unshare", "--net", "sh", "-c", MACHINE, "sh", *words], cwd=ROOT, stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL, text=True)
        try:
            said = []
            for line in wall.stdout:
                said.append(line)
                if line.startswith("Ctrl-C"):
                    break
            else:
                raise SystemExit("the wall did not come up")
            samples = [ask(state, "block", {"subject": f"198.51.{n // 250}.{n % 250}", "for": "1h"}) for n in range(BLOCKS)]
            return {"samples": samples, "links": [line.strip() for line in said if "XDP" in line or "nftables" in line]}
        finally:
            wall.kill()
            wall.wait()


def ask(state, command, arguments):
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect(os.path.join(state, "control.sock"))
        begun = time.perf_counter()
        stream.sendall((json.dumps({"command": command, "arguments": arguments}) + "\n").encode())
        answer = json.loads(stream.makefile().readline())
        return {"kernel_us": round(answer["answer"]["kernel_us"], 1), "answer_us": round((time.perf_counter() - begun) * 1e6, 1)}


def commands(told):
    print("\n`ringwall block` through the binary, with XDP and nftables: µs p50, p99")
    held = []
    for name, what in (("kernel_us", "to the kernel's yes"), ("answer_us", "to the answer, kept on disk")):
        times = sorted(sample[name] for sample in told["samples"])
        p50, p99 = (times[len(times) * part // 100] for part in (50, 99))
        print(f"  {what:28}{p50:9.1f}{p99:9.1f}")
        if name == "kernel_us":
            held += ratio("the kernel's yes, p99 in ms", p99 / 1000, 1, True)
    return held


def flood(samples):
    print("\ncalls beside a flood by the same link: quiet, flooded")
    held = []
    for way in (OWN, LIMITED):
        halves = {}
        for flooded in (False, True):
            mine = [s["sample"] for s in samples if s["way"] == way and s["flooded"] is flooded]
            times = sorted(time for one in mine for time in one["calls_us"])
            failed = sum(one["failed"] for one in mine)
            halves[flooded] = {
                "calls": len(times) + failed, "held": len(times) / (len(times) + failed),
                "p50": times[len(times) // 2], "p99": times[len(times) * 99 // 100],
                "rate": min(one["frames_a_second"] for one in mine),
            }
        for flooded, half in halves.items():
            print(f"  {way:28}{half['rate']:9,} frames/s  {half['calls']:5} calls  {half['held']:8.3%}"
                  f"  p50 {half['p50']} µs  p99 {half['p99']} µs")
        held += ratio("frames a second, of 500,000", 500_000 / max(1, halves[True]["rate"]), 1, True)
        held += ratio("calls that failed, of 0.1 %", (1 - halves[True]["held"]) * 1000, 1, True)
        held += ratio("p99 flooded to quiet", halves[True]["p99"] / halves[False]["p99"], 3, True)
    return held


def interception(samples):
    """A connection through interception and one to the same door, dialled explicitly: what each way out and in costs."""
    print("\nset-up of a connection, a byte there and back: µs on the clock p50, p99; of CPU p50, p99")
    held, told = [], {}
    for way, runs in samples.items():
        clock, cpu = (sorted(sample[part] for sample in runs) for part in (0, 1))
        told[way] = [times[len(times) * part // 100] / 1000 for times in (clock, cpu) for part in (50, 99)]
        print(f"  {way:28}" + "".join(f"{time:9.1f}" for time in told[way]) + f"   {len(runs)} runs")
    for side in ("out", "in"):
        there, door = told[f"{side}, intercepted"], told[f"{side}, explicit"]
        held += ratio(f"{side}: intercepted to explicit, p50", there[0] / door[0], 1.3, True)
        held += ratio(f"{side}: the same in CPU time, p50", there[2] / door[2], 1.3, True)
        held += ratio(f"{side}: the same in CPU time, p99", there[3] / door[3], 1.3, True)
        # What else runs on the machine makes it.
        held += ratio(f"{side}: the same on the clock, p99", there[1] / door[1], 1.3, False)
    return held


def apply(told):
    """One node's share of 10,000 policies, in CPU time, which others on the machine do not make longer."""
    held = []
    for what, most in (("compile", 40), ("first", 50)):
        times = [float(time) for time in re.findall(rf"^{what} .* ([0-9.]+) ms spent", told, re.MULTILINE)]
        name = {"compile": "compile a node's share, CPU ms", "first": "apply it and read it back, CPU ms"}[what]
        held += ratio(name, min(times, default=float("inf")), most, True)
    return held


def ratio(name, value, most, target):
    """One line; a target counts."""
    if target:
        print(f"  {'met   ' if value <= most else 'MISSED'} {name}: {value:.2f}, at most {most}")
        return [value <= most]
    print(f"         {name}: {value:.2f}")
    return []


def versions():
    said = {}
    for name, words in {"nft": ["nft", "--version"], "rustc": ["rustc", "--version"]}.items():
        said[name] = subprocess.run(words, stdout=subprocess.PIPE, text=True).stdout.strip()
    with open(os.path.join(ROOT, "crates/kernel/bpf/compiler.txt")) as file:
        said["clang"] = file.read().strip()
    return said


if __name__ == "__main__":
    main()
