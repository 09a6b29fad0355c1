"""The stage of the benches: an upstream, the peers and Ringwall, on loopback, all ended with the stage.

Needs nginx, wrk and openssl on the machine and Envoy where `cargo xtask parts` puts it (or named by ENVOY). Keys and
configurations live in a temporary folder that goes with the stage.
"""
import base64, glob, http.server, importlib.util, json, os, re, shutil, signal, socket, subprocess, tempfile
import threading, time

from train import ringwall as program

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
ISSUER = "https://issuer.bench.example"
POLICIES = 25
DEADLINE = 30


class Proxy:
    """A running proxy: where it listens, and what it costs."""

    def __init__(self, process, host, port, scheme, token):
        self.process, self.host, self.port, self.scheme, self.token = process, host, port, scheme, token

    def processes(self, pid=None):
        pid = pid or self.process.pid
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            children = file.read().split()
        return [pid] + [below for child in children for below in self.processes(int(child))]

    def cpu(self):
        """Nanoseconds of CPU time of all its threads so far."""
        tasks = [task for pid in self.processes() for task in glob.glob(f"/proc/{pid}/task/*/schedstat")]
        return sum(int(open(task).read().split()[0]) for task in tasks)

    def memory(self):
        """Resident bytes."""
        status = [open(f"/proc/{pid}/status").read() for pid in self.processes()]
        return sum(int(re.search(r"VmRSS:\s+(\d+)", one).group(1)) * 1024 for one in status)


def load(proxy, seconds, connections):
    """Loads a proxy for so many seconds; how many requests were answered, and how many wrongly."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", os.path.join(HERE, "load.lua"),
               "-H", "Host: hop.bench.example", "-H", "Accept: application/json", "-H", "User-Agent: bench/1"]
    if proxy.token:
        command += ["-H", "Authorization: Bearer " + proxy.token]
    command += [f"{proxy.scheme}://localhost:{proxy.port}/api/v1/orders/1k"]
    where = {**os.environ, "BENCH_HOST": proxy.host, "BENCH_PORT": str(proxy.port)}
    out = subprocess.run(command, env=where, capture_output=True, text=True, timeout=seconds + DEADLINE)
    found = re.search(r"(\d+) requests in", out.stdout)
    if not found or int(found.group(1)) == 0:
        raise SystemExit("the load generator got no answer:\n" + out.stdout + out.stderr)
    wrong = sum(int(n) for n in re.findall(r"(?:connect|read|write|timeout) (\d+)", out.stdout))
    wrong += sum(int(n) for n in re.findall(r"Non-2xx or 3xx responses: (\d+)", out.stdout))
    return {"requests": int(found.group(1)), "errors": wrong}


def collector():
    """A collector that takes spans and forgets them: its `address:port`."""
    class Take(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(202)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Take)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return "%s:%d" % server.server_address


class Stage:
    """What a bench plays on."""

    def __init__(self, ringwall=None):
        self.ringwall, self.built = program(ringwall)
        parts = glob.glob(os.path.join(ROOT, "target/parts/envoy/**/envoy"), recursive=True)
        programs = [path for path in parts if os.path.isfile(path) and os.path.getsize(path) > 1 << 20]
        self.envoy = os.environ.get("ENVOY") or next(iter(programs), None)
        self.started = []

    def __enter__(self):
        missing = [name for name in ("nginx", "wrk", "openssl", self.ringwall) if shutil.which(name) is None]
        if missing:
            raise SystemExit("not run: there is no " + ", ".join(missing) + " (`cargo xtask parts`)")
        self.folder = tempfile.mkdtemp(prefix="bench-")
        try:
            self.prepare()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self.started):
            process.send_signal(signal.SIGTERM)
        for process in self.started:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def write(self, name, text):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w") as file:
            file.write(text)
        return self.path(name)

    def prepare(self):
        self.ports = free_ports(8)
        self.token, self.keys = self.make_token()
        self.write("state/.keep", "")
        os.chmod(self.path("state"), 0o700)
        self.world()
        self.start_ringwall()
        for name in ("upstream", "proxy"):
            self.issue(name)
        self.write("www/api/v1/orders/1k", "a" * 1024)
        # Workers of nginx give up root and must still reach their files.
        for path in (self.folder, self.path("www")):
            os.chmod(path, 0o755)
        self.start(["nginx", "-p", self.folder, "-e", "stderr", "-c", self.fill("nginx-upstream.conf")], self.ports[0])

    def proxies(self, case):
        """Ringwall and the peers for a case, by name."""
        if case == "told":
            return {"ringwall": self.second(10, "file", "on"), "silent": self.second(0, "off", "off")}
        if not hasattr(self, "peers"):
            nginx = self.start(["nginx", "-p", self.folder, "-e", "stderr", "-c", self.fill("nginx-proxy.conf")], self.ports[2])
            self.peers = {"nginx": nginx}
            if self.envoy:
                config = self.write("envoy.json", json.dumps(self.envoy_config()))
                self.peers["envoy"] = self.start([self.envoy, "-c", config, "--concurrency", "1", "-l", "error",
                                                  "--disable-hot-restart"], self.ports[4])
        plain = case == "plain"
        scheme, token = ("http", None) if plain else ("https", self.token)
        host, port = self.doors[9080 if plain else 9443]
        all = {"ringwall": Proxy(self.wall, host, port, scheme, token)}
        if plain:
            all["nginx"] = Proxy(self.peers["nginx"], "127.0.0.1", self.ports[2], scheme, token)
        if "envoy" in self.peers:
            all["envoy"] = Proxy(self.peers["envoy"], "127.0.0.1", self.ports[4 if plain else 5], scheme, token)
            if not plain:
                all["envoy-cache"] = Proxy(self.peers["envoy"], "127.0.0.1", self.ports[6], scheme, token)
        return all

    def start(self, command, port=None):
        log = open(self.path(f"out-{len(self.started)}.log"), "w")
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, cwd=self.folder)
        self.started.append(process)
        if port:
            self.wait_for("127.0.0.1", port, process, log.name)
        return process

    def wait_for(self, host, port, process, log):
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end and process.poll() is None:
            try:
                socket.create_connection((host, port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise SystemExit(f"{process.args[0]} does not answer:\n" + open(log).read())

    def start_ringwall(self):
        """Brings the World up; its state folder then holds the mesh's authority, which signs for the peers too."""
        self.wall, self.doors = self.bring_up("world", "state")

    def second(self, traced, log, metrics):
        """Ringwall once more, with the same World but for how many of a hundred calls are traced; its plain door."""
        name = f"told-{traced}"
        shutil.copytree(self.path("world"), self.path(name))
        self.write(f"{name}-state/.keep", "")
        os.chmod(self.path(f"{name}-state"), 0o700)
        mesh = self.path(name, "01-mesh.yaml")
        # Without a collector nothing is traced at all.
        wanted = f"sampling: {traced}.0, zipkin: {{ address: '{collector()}' }}" if traced else "sampling: 0.0"
        text, changed = re.subn(r"\btracing:\s+sampling: [\d.]+", f"tracing: {{ {wanted} }}", open(mesh).read())
        if changed != 1:
            raise SystemExit(f"{mesh} does not say once how many calls are traced")
        self.write(f"{name}/01-mesh.yaml", text)
        wall, doors = self.bring_up(name, f"{name}-state", f"access_log={log}", f"metrics={metrics}")
        return Proxy(wall, *doors[9080], "http", None)

    def bring_up(self, world, state, *settings):
        """Starts Ringwall; the process, and the socket of each of the edge's ports."""
        command = [self.ringwall, "up", self.path(world), "--state-dir", self.path(state), "--format", "json"]
        for setting in ("workers=1", *settings):
            command += ["--set", setting]
        log = self.path(f"out-{len(self.started)}.log")
        wall, end = self.start(command), time.monotonic() + DEADLINE
        while time.monotonic() < end and wall.poll() is None:
            lines = [line for line in open(log).read().splitlines() if line.startswith("{") and line.endswith("}")]
            if lines:
                break
            time.sleep(0.05)
        else:
            raise SystemExit("Ringwall does not come up:\n" + open(log).read())
        edge = [one for one in json.loads(lines[0])["listeners"] if one["role"] == "edge"]
        bound = {int(one["address"].rpartition(":")[2]): one["bound"].rpartition(":") for one in edge}
        return wall, {port: (host, int(at)) for port, (host, _, at) in bound.items()}

    def world(self):
        """The platform's own manifests, its limits out of reach, and the bench's doors and policies beside them."""
        os.makedirs(self.path("world"))
        for path in glob.glob(os.path.join(ROOT, "examples/ai-platform/*.yaml")):
            text = open(path).read()
            if "kind: ShieldPolicy" in text:
                text = re.sub(r"\b(requests|max|perAddress): \d+", r"\1: 100000000", text)
            self.write("world/" + os.path.basename(path), text)
        text = open(os.path.join(HERE, "world/hop.yaml")).read()
        for name, value in (("PLAIN", self.ports[0]), ("MUTUAL", self.ports[1]), ("JWKS", json.dumps(self.keys))):
            text = text.replace(f"@{name}@", str(value))
        self.write("world/90-bench.yaml", text)
        self.write("world/91-bench-policies.yaml", "---\n".join(policy(n) for n in range(POLICIES)))

    def policies(self):
        """How many documents of policy the World has."""
        kinds = ("AuthorizationPolicy", "RequestAuthentication", "PeerAuthentication", "ShieldPolicy")
        texts = [open(path).read() for path in glob.glob(self.path("world/*.yaml"))]
        return sum(len(re.findall(f"^kind: {kind}$", text, re.M)) for text in texts for kind in kinds)

    def versions(self):
        def told(command):
            out = subprocess.run(command, capture_output=True, text=True)
            return re.search(r"\d+\.\d+\.\d+", out.stdout + out.stderr).group(0)
        found = {"ringwall": told([self.ringwall, "--version"]), "nginx": told(["nginx", "-v"])}
        if self.envoy:
            found["envoy"] = told([self.envoy, "--version"])
        return found

    def fill(self, name):
        """A peer's configuration with this run's ports and folder."""
        text = open(os.path.join(HERE, "peers", name)).read()
        for index, port in enumerate(self.ports):
            text = text.replace(f"@PORT{index}@", str(port))
        return self.write(name, text.replace("@DIR@", self.folder))

    def envoy_config(self):
        spec = importlib.util.spec_from_file_location("envoy", os.path.join(HERE, "peers/envoy.py"))
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.config(self.ports, self.folder, ISSUER, json.dumps(self.keys), POLICIES)

    def openssl(self, *words, **more):
        return subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=self.folder, **more).stdout

    def issue(self, name):
        """An SVID of the mesh's authority: `NAME.crt` with its intermediate, `NAME.key`; `root.crt` beside them."""
        mesh = json.load(open(self.path("state/authorities.json")))["mesh"]
        self.write("root.crt", mesh["root_certificate"])
        self.write("ca.crt", mesh["intermediate_certificate"])
        self.write("ca.key", mesh["intermediate_key"])
        self.openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", name + ".key")
        self.openssl("req", "-new", "-key", name + ".key", "-subj", "/O=bench", "-out", name + ".csr")
        self.write(name + ".ext", f"subjectAltName=critical,URI:spiffe://cluster.local/ns/bench/sa/{name}\n"
                   "keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n"
                   "basicConstraints=critical,CA:FALSE\nauthorityKeyIdentifier=keyid\n")
        self.openssl("x509", "-req", "-in", name + ".csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-set_serial",
                     str(int.from_bytes(os.urandom(8), "big") | 1), "-days", "1", "-extfile", name + ".ext", "-out", "leaf.crt")
        self.write(name + ".crt", open(self.path("leaf.crt")).read() + mesh["intermediate_certificate"])

    def make_token(self):
        """A token of ES256 that holds for an hour, and the key set that verifies it."""
        self.openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "token.key")
        point = self.openssl("pkey", "-in", "token.key", "-pubout", "-outform", "DER")[-64:]
        key = {"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "bench",
               "x": b64(point[:32]), "y": b64(point[32:])}
        now = int(time.time())
        claims = {"iss": ISSUER, "sub": "alice", "aud": "bench", "tenant_id": "acme", "roles": ["user"],
                  "iat": now, "exp": now + 3600}
        told = b64(json.dumps({"alg": "ES256", "kid": "bench", "typ": "JWT"}).encode()) + "." + b64(json.dumps(claims).encode())
        signature = self.openssl("dgst", "-sha256", "-sign", "token.key", input=told.encode())
        at, numbers = 2, b""
        for _ in range(2):
            length = signature[at + 1]
            numbers += signature[at + 2:at + 2 + length].lstrip(b"\0").rjust(32, b"\0")
            at += 2 + length
        return told + "." + b64(numbers), {"keys": [key]}


def policy(number):
    """One of the policies at the bench's doors; the last is the one that lets the calls in."""
    last = number == POLICIES - 1
    path = "/api/v1/*" if last else f"/area-{number}/*"
    ports = '["9080"]' if last else '["9443"]'
    text = (f"apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: bench-{number}, namespace: istio-system}}\n"
            "spec:\n  selector: {matchLabels: {istio: ingressgateway}}\n  action: ALLOW\n  rules:\n")
    rule = f'  - to:\n    - operation: {{methods: ["GET", "POST"], paths: ["{path}"], ports: {ports}}}\n'
    signed = (f'  - from:\n    - source: {{requestPrincipals: ["{ISSUER}/*"]}}\n    to:\n    - operation: '
              f'{{methods: ["GET", "POST"], paths: ["{path}"], ports: ["9443"]}}\n'
              '    when:\n    - {key: "request.auth.claims[tenant_id]", values: ["acme"]}\n')
    return text + (rule + signed if last else signed)


def b64(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def free_ports(count):
    held = [socket.socket() for _ in range(count)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports
