#!/usr/bin/env python3
"""The program that benches measure: Ringwall, made fast where it runs when it is used as people use it.

usage: cargo xtask bench train   (builds it and prints its path)
"""
import os, subprocess, sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from build import trained


def ringwall(given=None):
    """Its path, and how it was built; or the one that is given, by hand or in the environment."""
    given = given or os.environ.get("RINGWALL")
    return (os.path.abspath(given), "as given") if given else trained(train)


def train(program):
    """The tour, which takes every layer, and calls in clear and in TLS, with and without a log."""
    from stage import Stage, load
    print("training", flush=True)
    subprocess.run([program, "demo", "--once"], check=True, stdout=subprocess.DEVNULL)
    with Stage(program) as stage:
        for case in ("plain", "mutual", "told"):
            for name, proxy in stage.proxies(case).items():
                if name in ("ringwall", "silent"):
                    load(proxy, 3, 64)


if __name__ == "__main__":
    print(*ringwall(), sep=": ")
