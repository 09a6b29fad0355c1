#!/usr/bin/env python3
"""How long small requests take beside large ones that the firewall judges.

Brings the binary up on loopback with the rule set of a corpus, an application that answers at once behind it, and sends
small GETs at a steady pace: first alone, then beside connections that post 128 KiB of JSON one after the other without a
pause. The bodies, each different, are made beforehand: a client that makes them meanwhile takes a core for milliseconds,
which is not what is measured. What counts is how much longer the slowest in a hundred takes. Raw samples go to
`bench/results/waf_beside.json`.

usage: cargo xtask bench waf_beside --crs DIR [--ringwall PATH] [--requests 4000] [--large 1]
"""

import argparse, json, multiprocessing, os, pathlib, signal, socket, subprocess, sys, tempfile, time

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from train import ringwall as program

POLICY = """
apiVersion: ringwall.dev/v1
kind: WafPolicy
metadata: { name: all, namespace: istio-system }
spec: { mode: block, requestBody: { limit: 2Mi } }
"""
# So many times as long a small request may take; and so many large ones a client can send in a round.
LONGER, MOST = 2, 1000
EDGE = HERE.parent / "crates/ringwall/examples/conformance_edge/edge.rs"


def manifests(port):
    """The way in that the conformance suite uses."""
    text = EDGE.read_text().split('const MANIFESTS: &str = r#"')[1].split('"#;')[0]
    return text.replace("PORT", str(port)) + "---" + POLICY


def application(ready):
    """Answers every request on a connection with a short 200."""
    import asyncio

    class Answers(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport, self.input = transport, b""

        def data_received(self, data):
            self.input += data
            while b"\r\n\r\n" in self.input:
                head, rest = self.input.split(b"\r\n\r\n", 1)
                length = 0
                for line in head.split(b"\r\n"):
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                if len(rest) < length:
                    return
                self.input = rest[length:]
                self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok")

    async def serve():
        server = await asyncio.get_running_loop().create_server(Answers, "127.0.0.1", 0)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


def answer(stream):
    data = b""
    while b"\r\n\r\n" not in data:
        part = stream.recv(65536)
        if not part:
            raise SystemExit("the edge closed the connection: " + data.decode(errors="replace"))
        data += part
    head, body = data.split(b"\r\n\r\n", 1)
    length = next(int(l.split(b":")[1]) for l in head.split(b"\r\n") if l.lower().startswith(b"content-length"))
    while len(body) < length:
        body += stream.recv(65536)
    return int(head.split(b" ")[1])


def connect(address):
    stream = socket.create_connection(address)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return stream


def body(number):
    """128 KiB of JSON, no two alike."""
    events = [{"level": "info", "service": f"s{number}-{i}", "message": f"order {number * 2000 + i} was shipped to the customer"} for i in range(1340)]
    return json.dumps({"events": events}).encode()


def large(address, count, ready, stop):
    """Posts large bodies one after the other until it is told to stop."""
    stream, sent, bodies = connect(address), 0, [body(number) for number in range(MOST)]
    ready.set()
    while not stop.is_set():
        if sent == MOST:
            raise SystemExit(f"more than {MOST} large requests in a round: make more of them")
        posted = bodies[sent]
        head = f"POST /ingest HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\nContent-Type: application/json\r\nContent-Length: {len(posted)}\r\n\r\n"
        stream.sendall(head.encode() + posted)
        status = answer(stream)
        if status != 200:
            raise SystemExit(f"a large request was answered {status}")
        sent += 1
    count.value += sent


def small(address, requests, pace):
    """Milliseconds of each request, sent at a steady pace over four connections in turn."""
    streams = [connect(address) for _ in range(4)]
    samples, due = [], time.perf_counter()
    for number in range(requests):
        due += pace
        time.sleep(max(0, due - time.perf_counter()))
        begun = time.perf_counter()
        streams[number % 4].sendall(
            f"GET /items?id={number}&page=2 HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\n\r\n".encode()
        )
        status = answer(streams[number % 4])
        samples.append((time.perf_counter() - begun) * 1000)
        if status != 200:
            raise SystemExit(f"a small request was answered {status}")
    return samples


def percentile(samples, part):
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--ringwall")
    options.add_argument("--crs", required=True)
    options.add_argument("--requests", type=int, default=4000)
    options.add_argument("--large", type=int, default=1)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--pace", type=float, default=0.005)
    options = options.parse_args()
    ringwall, built = program(options.ringwall)
    ready, told = multiprocessing.Pipe(False)
    backend = multiprocessing.Process(target=application, args=(told,), daemon=True)
    backend.start()
    port = ready.recv()
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "manifests.yaml"
        file.write_text(manifests(port))
        command = [ringwall, "up", "--format", "json", "--set", f"crs={options.crs}", "--state-dir", folder + "/state", str(file)]
        edge = subprocess.Popen(command, stdout=subprocess.PIPE)
        try:
            listeners = json.loads(edge.stdout.readline())["listeners"]
            host, port = next(it["bound"] for it in listeners if it["role"] == "edge").rsplit(":", 1)
            address = (host, int(port))
            small(address, 500, options.pace)
            alone, beside, count = [], [], multiprocessing.Value("i", 0)
            # Interleaved, so that what else the machine does falls on both.
            for _ in range(options.rounds):
                alone += small(address, options.requests // options.rounds, options.pace)
                stop, ready = multiprocessing.Event(), [multiprocessing.Event() for _ in range(options.large)]
                posting = [multiprocessing.Process(target=large, args=(address, count, one, stop)) for one in ready]
                [one.start() for one in posting]
                if not all(one.wait(60) for one in ready):
                    raise SystemExit("no large requests were made ready")
                beside += small(address, options.requests // options.rounds, options.pace)
                stop.set()
                [one.join() for one in posting]
                if any(one.exitcode for one in posting):
                    raise SystemExit("large requests ended before the small ones")
        finally:
            edge.send_signal(signal.SIGTERM)
            edge.wait()
            backend.terminate()
    milliseconds = {"alone": [round(one, 3) for one in alone], "beside": [round(one, 3) for one in beside]}
    result = {"command": "cargo xtask bench waf_beside --crs DIR", "built": built, "large": count.value, "milliseconds": milliseconds}
    held = report(result)
    (HERE / "results/waf_beside.json").write_text(json.dumps(result) + "\n")
    sys.exit(0 if held else 1)


def report(result):
    """Prints the percentiles; whether the last is within its bound."""
    alone, beside = result["milliseconds"]["alone"], result["milliseconds"]["beside"]
    print(f"{len(alone)} small requests alone, {len(beside)} beside {result['large']} of 128 KiB; build: {result['built']}")
    for part in (0.5, 0.9, 0.99):
        one, other = percentile(alone, part), percentile(beside, part)
        bound = f" (at most {LONGER}): {'met' if other <= one * LONGER else 'NOT met'}" if part == 0.99 else ""
        print(f"p{part * 100:<4g} alone {one:8.3f} ms   beside {other:8.3f} ms   ratio {other / one:.2f}{bound}")
    return other <= one * LONGER


if __name__ == "__main__":
    main()
