#!/usr/bin/env python3
"""CPU time of one hop: Ringwall with the platform's own World beside nginx and Envoy, one worker each.

usage: cargo xtask bench hop [--rounds N] [--seconds N] [--connections N] [--ringwall PATH] [--only plain|mutual|told] [--results NAME]

Two cases stand beside the peers: `plain` is HTTP/1.1 in and out; `mutual` is TLS 1.3 in, a token and authorization, and
mutual TLS out. The web application firewall is off for both, as the peers have none. The third, `told`, is `plain` by
Ringwall alone, with an access log in a file, metrics and 10 % of the calls traced, beside the same World without them.

Each round measures every proxy once, one after the other, so that a busy machine is busy for all of them. What counts is
CPU time of all threads of a proxy (`/proc/PID/task/*/schedstat`), not the wall clock. Only loopback; all that is started
is stopped. Raw samples go to `bench/results/hop.json`, or to the file of another name beside it.
"""
import argparse, json, os, statistics, sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from stage import Stage, load

TARGETS = [("plain", "envoy", 0.50), ("plain", "nginx", 1.60), ("mutual", "envoy", 0.60)]
TOLD = 0.10


def main():
    words = argparse.ArgumentParser()
    words.add_argument("--rounds", type=int, default=5)
    words.add_argument("--seconds", type=int, default=3)
    words.add_argument("--connections", type=int, default=64)
    words.add_argument("--ringwall")
    words.add_argument("--results", default="hop")
    words.add_argument("--only", choices=["plain", "mutual", "told"])
    words = words.parse_args()
    cases = [words.only] if words.only else ["plain", "mutual", "told"]
    samples = []
    with Stage(words.ringwall) as stage:
        proxies = {case: stage.proxies(case) for case in cases}
        for case in cases:
            for name, proxy in proxies[case].items():
                load(proxy, 1, words.connections)
        for turn in range(words.rounds):
            for case in cases:
                for name, proxy in proxies[case].items():
                    before = proxy.cpu()
                    told = load(proxy, words.seconds, words.connections)
                    spent = proxy.cpu() - before
                    sample = {"round": turn, "case": case, "proxy": name, **told,
                              "cpu_ns": spent, "cpu_s_per_10k": round(spent / told["requests"] / 1e5, 4)}
                    samples.append(sample)
                    print(f"round {turn + 1} {case:7} {name:9} {sample['cpu_s_per_10k']:.4f} CPU s per 10k,"
                          f" {told['requests']} requests, {told['errors']} errors", flush=True)
        result = {"command": command(words), "built": stage.built, "versions": stage.versions(), "policies": stage.policies(),
                  "connections": words.connections, "seconds": words.seconds, "rounds": words.rounds, "samples": samples}
    held = report(result)
    if not words.only:
        with open(os.path.join(HERE, "results", words.results + ".json"), "w") as file:
            file.write(json.dumps(result, indent=1) + "\n")
    sys.exit(0 if held else 1)


def command(words):
    if not words.ringwall:
        return "cargo xtask bench hop"
    return f"cargo xtask bench hop --ringwall {os.path.relpath(words.ringwall, os.path.dirname(HERE))} --results {words.results}"


def report(result):
    """Prints the table; whether every target is met and no answer was wrong."""
    print("\n" + ", ".join(f"{name} {version}" for name, version in result["versions"].items())
          + f"; {result['policies']} documents of policy in force in Ringwall; build: {result['built']}")
    middle = {}
    for case in dict.fromkeys(sample["case"] for sample in result["samples"]):
        for name in dict.fromkeys(s["proxy"] for s in result["samples"] if s["case"] == case):
            mine = [s["cpu_s_per_10k"] for s in result["samples"] if (s["case"], s["proxy"]) == (case, name)]
            middle[case, name] = statistics.median(mine)
            print(f"{case:7} {name:9} median {middle[case, name]:.4f} CPU s per 10k requests (min {min(mine):.4f}, max {max(mine):.4f})")
    for case, name in middle:
        if name != "ringwall" and not any((case, name) == (one, peer) for one, peer, _ in TARGETS):
            print(f"{case:7} ringwall / {name:11} {middle[case, 'ringwall'] / middle[case, name]:.2f}x (no target)")
    held = all(sample["errors"] == 0 for sample in result["samples"])
    for case, peer, most in TARGETS:
        if (case, peer) in middle:
            ratio = middle[case, "ringwall"] / middle[case, peer]
            held &= ratio <= most
            print(f"{case:7} ringwall / {peer:6} {ratio:.2f}x (target at most {most:.2f}x): {'met' if ratio <= most else 'NOT met'}")
    if ("told", "ringwall") in middle:
        share = told_share(result["samples"])
        held &= share <= TOLD
        print(f"told    log, metrics and 10 % tracing take {share:.1%} of CPU (target at most {TOLD:.0%}):"
              f" {'met' if share <= TOLD else 'NOT met'}")
    return held


def told_share(samples):
    """The median over the rounds: of each, only measurements that stand side by side are compared."""
    spent = {(s["round"], s["proxy"]): s["cpu_s_per_10k"] for s in samples if s["case"] == "told"}
    rounds = {turn for turn, _ in spent}
    return statistics.median(1 - spent[turn, "silent"] / spent[turn, "ringwall"] for turn in rounds)


if __name__ == "__main__":
    main()
