#!/usr/bin/env python3
"""Memory of idle keep-alive connections that have made one request each: Ringwall beside nginx and Envoy.

usage: cargo xtask bench idle [--connections N] [--ringwall PATH]

What counts is (RSS with N connections - RSS before) / N of the proxy; the clients are in this process. Each proxy answers
a warming load first, so that what it holds once is no part of it. Raw numbers go to `bench/results/idle.json`.
"""
import argparse, json, os, resource, socket, sys, time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from stage import Stage, load

TARGET = 32 * 1024
REQUEST = b"GET /api/v1/orders/1k HTTP/1.1\r\nHost: hop.bench.example\r\nUser-Agent: bench/1\r\n\r\n"


def main():
    words = argparse.ArgumentParser()
    words.add_argument("--connections", type=int, default=10_000)
    words.add_argument("--ringwall")
    words = words.parse_args()
    # What is started later inherits it: a proxy holds one descriptor for each client, and some upstream.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    samples = []
    with Stage(words.ringwall) as stage:
        for name, proxy in stage.proxies("plain").items():
            load(proxy, 1, 64)
            samples.append({"proxy": name, **measure(proxy, words.connections)})
        result = {"command": "cargo xtask bench idle", "built": stage.built, "versions": stage.versions(), "connections": words.connections,
                  "samples": samples}
    held = report(result)
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "results", "idle.json"), "w") as file:
        file.write(json.dumps(result, indent=1) + "\n")
    sys.exit(0 if held else 1)


def report(result):
    """Prints the table; whether the target is met."""
    held = False
    for one in result["samples"]:
        print(f"{one['proxy']:9} {one['held']} of {result['connections']} connections held,"
              f" {one['bytes_each'] / 1024:.1f} KiB each")
        if one["proxy"] == "ringwall":
            held = one["held"] == result["connections"] and one["bytes_each"] <= TARGET
    print(f"ringwall: at most {TARGET // 1024} KiB each and all held: {'met' if held else 'NOT met'}")
    return held


def measure(proxy, count):
    before, clients = proxy.memory(), []
    for _ in range(count):
        client = socket.create_connection((proxy.host, proxy.port), 10)
        clients.append(client)
        answer(client)
    time.sleep(1)
    after = proxy.memory()
    # A connection that was dropped meanwhile does not answer again.
    alive = sum(1 for client in clients if is_alive(client))
    for client in clients:
        client.close()
    return {"before": before, "after": after, "held": alive, "bytes_each": round((after - before) / count)}


def answer(client):
    client.sendall(REQUEST)
    got = b""
    while not (b"\r\n\r\n" in got and len(got) - got.index(b"\r\n\r\n") - 4 >= 1024):
        more = client.recv(4096)
        if not more:
            raise SystemExit("a connection was closed before its answer was whole:\n" + got.decode("latin-1"))
        got += more
    if not got.startswith(b"HTTP/1.1 200"):
        raise SystemExit("a wrong answer:\n" + got[:300].decode("latin-1"))


def is_alive(client):
    try:
        answer(client)
        return True
    except (OSError, SystemExit):
        return False


if __name__ == "__main__":
    main()
