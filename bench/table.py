#!/usr/bin/env python3
"""Writes `docs/numbers.md` from the raw samples in `bench/results`, with the words that each bench has for them.

usage: cargo xtask bench table
"""
import contextlib, io, json, os, sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import hop, idle, packet, reload, waf, waf_beside

HEAD = """# Numbers

Made by `cargo xtask bench table` from the raw samples in `bench/results/`, which each bench writes. Machines are noisy:
what counts are ratios within one run, of CPU time. Ringwall, and peers in Rust, are built with link-time optimisation
(`--profile bench`), the program itself by what ran in a training too (decisions/0006), but the packet filter's examples
are not (`--release`); Envoy, nginx and libmodsecurity are as their makers or Debian built them.
"""


def main():
    parts = [HEAD]
    rows = [(bench, bench.__name__) for bench in [hop, idle, reload, waf, waf_beside, packet]]
    for bench, name in [*rows[:1], (hop, "hop-release"), *rows[1:]]:
        with open(os.path.join(HERE, "results", name + ".json")) as file:
            result = json.load(file)
        with contextlib.redirect_stdout(io.StringIO()) as said:
            try:
                bench.report(result)
            except KeyError as row:
                print(f"These samples are older than the row {row}, and end here: run the bench again.")
        title = bench.__doc__.split("\n")[0] + (" As README builds it." if name == "hop-release" else "")
        lines = (line.rstrip() for line in said.getvalue().strip("\n").split("\n"))
        parts.append(f"\n## {title}\n\n`{result['command']}`\n\n```text\n" + "\n".join(lines) + "\n```\n")
    with open(os.path.join(HERE, "../docs/numbers.md"), "w") as file:
        file.write("".join(parts))


if __name__ == "__main__":
    main()
