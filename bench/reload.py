#!/usr/bin/env python3
"""Reloads under load: each changes a route, a policy, a certificate and a listener while calls, streams and sockets go on.

usage: cargo xtask bench reload [--reloads N] [--requests N] [--live N] [--manifests N] [--ringwall PATH]

The reloads are spread over the calls: one each time another part of them was answered. What counts: no call, stream or
socket fails; how long after the file was put in its place the new answer is seen (the
watch waits 15 ms for a folder to be quiet); and how long a World of many manifests takes. Raw numbers go to
`bench/results/reload.json`.
"""
import argparse, asyncio, json, multiprocessing, os, resource, socket, ssl, statistics, subprocess, sys, threading, time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from stage import Proxy, Stage, load

SEEN, TAKEN, PATIENCE = 0.100, 1.0, 20


def main():
    words = argparse.ArgumentParser()
    words.add_argument("--reloads", type=int, default=20)
    words.add_argument("--requests", type=int, default=100_000)
    words.add_argument("--live", type=int, default=20, help="streams, and as many sockets")
    words.add_argument("--manifests", type=int, default=1000)
    words.add_argument("--ringwall")
    words = words.parse_args()
    upstream = Upstream()
    with Playing(words.ringwall, upstream.port) as stage:
        result = {"command": "cargo xtask bench reload", "built": stage.built, "version": stage.versions()["ringwall"],
                  **under_load(stage, words)}
        result["manifests"] = many(stage, words.manifests)
    held = report(result)
    with open(os.path.join(HERE, "results", "reload.json"), "w") as file:
        file.write(json.dumps(result, indent=1) + "\n")
    sys.exit(0 if held else 1)


class Playing(Stage):
    """The stage with one more door, and a file that changes."""

    def __init__(self, ringwall, live):
        super().__init__(ringwall)
        self.live = live

    def world(self):
        super().world()
        text = open(os.path.join(HERE, "world/reload.yaml")).read()
        self.write("world/92-live.yaml", text.replace("@LIVE@", str(self.live)))
        self.change(0)

    def change(self, number):
        """Puts a changed file in its place at once, and says when that was."""
        self.write("next.yaml", changing(number))
        os.replace(self.path("next.yaml"), self.path("world/95-changing.yaml"))
        return time.monotonic()

    def prepare(self):
        self.envoy = None
        super().prepare()


def changing(number):
    """A route that answers its number, a policy, a certificate for a name of its own, and a listener."""
    gateway = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: changing, namespace: istio-system}\n"
    return (
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: changing, namespace: istio-system}\n"
        "spec:\n  hosts: [changing.bench.example]\n  gateways: [istio-system/live-gateway]\n  http:\n"
        f"  - directResponse: {{status: 200, body: {{string: \"answer {number}\"}}}}\n"
        "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n"
        "metadata: {name: changing, namespace: istio-system}\nspec:\n"
        "  selector: {matchLabels: {istio: ingressgateway}}\n  action: DENY\n"
        f"  rules:\n  - to:\n    - operation: {{paths: [\"/denied-{number}\"], ports: [\"9090\"]}}\n"
        "---\napiVersion: cert-manager.io/v1\nkind: Certificate\nmetadata: {name: changing, namespace: istio-system}\n"
        f"spec:\n  secretName: changing-cert\n  dnsNames: [n{number}.bench.example]\n"
        "  issuerRef: {name: platform-ca, kind: ClusterIssuer}\n"
        f"---\n{gateway}spec:\n  selector: {{istio: ingressgateway}}\n  servers:\n"
        f"  - port: {{number: {9100 + number}, name: http-{number}, protocol: HTTP}}\n    hosts: [\"*\"]\n"
        f"  - port: {{number: 9443, name: https-changing, protocol: HTTPS}}\n    hosts: [n{number}.bench.example]\n"
        "    tls: {mode: SIMPLE, credentialName: changing-cert}\n")


def under_load(stage, words):
    live = Live(stage.doors[9090], words.live)
    calls = Calls(Proxy(stage.wall, *stage.doors[9080], "http", None))
    calls.start()
    samples = []
    for number in range(1, words.reloads + 1):
        while calls.requests < words.requests * (number - 0.5) / words.reloads:
            time.sleep(0.1)
        since = stage.change(number)
        seen = until(lambda: ask(stage.doors[9090], "/", "changing.bench.example")[1] == f"answer {number}".encode())
        denied = ask(stage.doors[9090], f"/denied-{number}", "live.bench.example")[0]
        name = certificate(stage.doors[9443], f"n{number}.bench.example")
        listens = opens((stage.doors[9090][0], 9100 + number)) and not opens((stage.doors[9090][0], 9099 + number))
        samples.append({"reload": number, "seen_ms": round((seen - since) * 1e3, 1), "denied": denied,
                        "certificate": name, "listener": listens})
        print(f"reload {number}: seen after {samples[-1]['seen_ms']} ms, policy {denied}, certificate {name},"
              f" listener {listens}", flush=True)
    while calls.requests < words.requests:
        time.sleep(0.1)
    calls.stop()
    return {"reloads": samples, "requests": calls.requests, "failed": calls.failed, **live.stop()}


def many(stage, count):
    """A World of many manifests: how long `check` takes, and how long until it is in force."""
    for number in range(count):
        stage.write(f"more/{number // 50}.yaml", "")
    texts = {}
    for number in range(count):
        texts.setdefault(number // 50, []).append(one_of_many(number))
    for group, documents in texts.items():
        stage.write(f"more/{group}.yaml", "---\n".join(documents))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.monotonic()
    checked = subprocess.run([stage.ringwall, "check", stage.path("more")], capture_output=True)
    spent, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    os.rename(stage.path("more"), stage.path("world/more"))
    number = 90
    # The folder first, then the change whose answer is looked for.
    since = stage.change(number)
    seen = until(lambda: ask(stage.doors[9090], "/", "changing.bench.example")[1] == f"answer {number}".encode())
    again = stage.change(number + 1)
    seen_again = until(lambda: ask(stage.doors[9090], "/", "changing.bench.example")[1] == f"answer {number + 1}".encode())
    return {"count": count, "check_s": round(spent, 3), "check_cpu_s": round(cpu, 3), "check_exit": checked.returncode,
            "in_force_s": round(seen - since, 3), "in_force_again_s": round(seen_again - again, 3)}


def one_of_many(number):
    kinds = [
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: many-{n}, namespace: many}}\n"
        "spec:\n  selector: {{matchLabels: {{app: many-{n}}}}}\n  action: ALLOW\n  rules:\n"
        "  - from:\n    - source: {{principals: [\"cluster.local/ns/many/sa/many-{n}\"]}}\n"
        "    to:\n    - operation: {{methods: [GET], paths: [\"/api/{n}/*\"]}}\n",
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: many-{n}, namespace: many}}\n"
        "spec:\n  hosts: [many-{n}.bench.example]\n  http:\n  - route:\n"
        "    - destination: {{host: many-{n}.bench.example, port: {{number: 80}}}}\n    timeout: 5s\n",
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: many-{n}, namespace: many}}\n"
        "spec:\n  hosts: [many-{m}.bench.example]\n  location: MESH_EXTERNAL\n  resolution: DNS\n"
        "  ports:\n  - {{number: 80, name: http, protocol: HTTP}}\n",
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: many-{n}, namespace: many}}\n",
    ]
    # A service entry declares the host that the route two before it is for.
    return kinds[number % 4].format(n=number, m=number - 1)


def report(result):
    seen = [one["seen_ms"] for one in result["reloads"]]
    whole = all(one["denied"] == 403 and one["certificate"].startswith("n") and one["listener"]
                for one in result["reloads"])
    many = result["manifests"]
    rows = [
        (f"{len(seen)} reloads, {result['requests']} calls: {result['failed']} failed", result["failed"] == 0),
        (f"{result['streams']} streams and {result['sockets']} sockets: {result['cut']} cut, {result['events']} events",
         result["cut"] == 0),
        ("each reload's policy, certificate and listener seen", whole),
        (f"new answer seen after {statistics.median(seen)} ms (median), {max(seen)} ms (most)", max(seen) < SEEN * 1e3),
        (f"{many['count']} manifests: check {many['check_s']} s ({many['check_cpu_s']} s of CPU), in force after"
         f" {many['in_force_s']} s, one change later after {many['in_force_again_s']} s", many["in_force_s"] < TAKEN),
    ]
    print()
    for text, held in rows:
        print(f"{text}: {'met' if held else 'NOT met'}")
    return all(held for _, held in rows)


class Calls(threading.Thread):
    """The load generator, again and again until it is told to stop."""

    def __init__(self, proxy):
        super().__init__(daemon=True)
        self.proxy, self.going, self.requests, self.failed = proxy, True, 0, 0

    def run(self):
        while self.going:
            told = load(self.proxy, 1, 64)
            self.requests += told["requests"]
            self.failed += told["errors"]

    def stop(self):
        self.going = False
        self.join(PATIENCE)


class Live:
    """Open streams and sockets, each of which must go on. In a process of their own: what is measured does not wait for
    the turns of their threads."""

    def __init__(self, door, count):
        self.count, self.cut, self.events = count, multiprocessing.Value("i"), multiprocessing.Value("i")
        self.over, opened = multiprocessing.Event(), multiprocessing.Event()
        self.process = multiprocessing.Process(target=self.run, args=(door, opened), daemon=True)
        self.process.start()
        if not opened.wait(PATIENCE):
            raise SystemExit("streams and sockets were not opened")

    def run(self, door, opened):
        clients = [self.open(door, path) for path in ["/stream", "/socket"] * self.count]
        threads = [threading.Thread(target=self.follow, args=(*one,), daemon=True) for one in clients]
        for thread in threads:
            thread.start()
        opened.set()
        for thread in threads:
            thread.join()

    def open(self, door, path):
        client = socket.create_connection(door, PATIENCE)
        more = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" \
               b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" if path == "/socket" else b""
        client.sendall(b"GET " + path.encode() + b" HTTP/1.1\r\nHost: live.bench.example\r\n" + more + b"\r\n")
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(1)
        if not head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 101")):
            raise SystemExit(f"{path} was not opened: {head}")
        return client, path

    def follow(self, client, path):
        try:
            while not self.over.is_set():
                if path == "/socket":
                    client.sendall(b"\x81\x02hi")
                if not client.recv(4096):
                    raise OSError("ended")
                count(self.events)
                if path == "/socket":
                    time.sleep(0.05)
        except OSError:
            count(self.cut)
        client.close()

    def stop(self):
        self.over.set()
        self.process.join(PATIENCE)
        if self.process.exitcode != 0:
            raise SystemExit("those who followed streams and sockets did not end as they should")
        return {"streams": self.count, "sockets": self.count, "cut": self.cut.value, "events": self.events.value}


class Upstream:
    """Streams an event every 50 ms at `/stream`, echoes after an upgrade at `/socket`."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        server = self.loop.run_until_complete(asyncio.start_server(self.serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    async def serve(self, read, write):
        try:
            head = await read.readuntil(b"\r\n\r\n")
            if head.startswith(b"GET /socket"):
                write.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
                while more := await read.read(4096):
                    write.write(more)
                    await write.drain()
            write.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                write.write(b"9\r\ndata: x\n\n\r\n")
                await write.drain()
                await asyncio.sleep(0.05)
        except (OSError, asyncio.IncompleteReadError):
            write.close()


def count(shared):
    with shared.get_lock():
        shared.value += 1


def ask(door, path, host):
    with socket.create_connection(door, PATIENCE) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        got = b""
        # A stream has no end: what it began with is enough.
        while b"\r\n\r\n" not in got and (more := client.recv(4096)):
            got += more
    head, _, body = got.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), body


def certificate(door, name):
    """The first DNS name of the certificate that is shown for a name; `-` when the handshake is refused."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection(door, PATIENCE) as raw, context.wrap_socket(raw, server_hostname=name) as client:
            shown = client.getpeercert(binary_form=True)
            return name if name.encode() in shown else "-"
    except OSError:
        return "-"


def opens(door):
    try:
        socket.create_connection(door, 1).close()
        return True
    except OSError:
        return False


def until(holds):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if holds():
            return time.monotonic()
        time.sleep(0.002)
    raise SystemExit("the new answer was not seen")


if __name__ == "__main__":
    main()
