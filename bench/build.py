"""Builds what is measured: the `bench` profile, which has link-time optimisation. The first build takes many minutes.

The program is built twice, first to count what runs, then by what was counted (docs/decisions/0006).
"""
import glob, hashlib, json, os, re, shutil, subprocess, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
# A folder of its own: what counts and what is optimised by counts must not mix with other builds.
FOLDER = os.path.join(ROOT, "target/trained")


def build(package, example=None):
    """The path of a package's program, or of an example of it."""
    print(f"building {example or package} with link-time optimisation", flush=True)
    return cargo(package, example, {})


def trained(train):
    """The path of Ringwall, optimised by what ran while `train` used it; and how it was built, in words."""
    tool = merger()
    if tool is None:
        print("no llvm-profdata fits the compiler (`cargo xtask parts`): built without training", flush=True)
        return build("ringwall"), "link-time optimisation, untrained"
    counts = os.path.join(FOLDER, "counts.profdata")
    stamp = os.path.join(FOLDER, "counts.of")
    of = sources()
    if not os.path.exists(counts) or not os.path.exists(stamp) or open(stamp).read() != of:
        with tempfile.TemporaryDirectory(prefix="train-") as raw:
            print("building ringwall to count what runs (this and the next build take many minutes)", flush=True)
            forget()
            train(cargo("ringwall", None, instructed(f"-Cprofile-generate={raw}")))
            forget()
            told = glob.glob(os.path.join(raw, "*.profraw"))
            subprocess.run([tool, "merge", "-o", counts, *told], check=True)
        with open(stamp, "w") as file:
            file.write(of)
    print("building ringwall by what was counted", flush=True)
    return cargo("ringwall", None, instructed(f"-Cprofile-use={counts}")), "link-time optimisation, trained"


def cargo(package, example, environment):
    command = ["cargo", "build", "--quiet", "--profile", "bench", "--package", package, "--message-format",
               "json-render-diagnostics"] + (["--example", example] if example else [])
    out = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True, check=True)
    made = [json.loads(line) for line in out.stdout.splitlines() if line.startswith("{")]
    return next(one["executable"] for one in made
                if one.get("executable") and one["target"]["name"] == (example or package))


def instructed(words):
    """An environment in which our own crates are compiled with these words too. The compiler is told by a program between
    it and cargo, whose path is always the same: names of functions depend on it, and counts are kept by name."""
    program = os.path.join(FOLDER, "rustc")
    os.makedirs(FOLDER, exist_ok=True)
    with open(program, "w") as file:
        file.write('#!/bin/sh\nexec "$@" $RINGWALL_TRAINING\n')
    os.chmod(program, 0o755)
    return {"CARGO_TARGET_DIR": FOLDER, "CARGO_INCREMENTAL": "0", "RUSTC_WORKSPACE_WRAPPER": program, "RINGWALL_TRAINING": words}


def forget():
    """Cargo does not see those words: what was built with others is removed."""
    told = subprocess.run(["cargo", "metadata", "--no-deps", "--format-version", "1"], cwd=ROOT, capture_output=True, check=True)
    names = [word for one in json.loads(told.stdout)["packages"] for word in ("--package", one["name"])]
    subprocess.run(["cargo", "clean", "--quiet", "--profile", "bench", *names], cwd=ROOT, env={**os.environ, "CARGO_TARGET_DIR": FOLDER}, check=True)


def sources():
    """A digest of all that the program is built from, and of where: names of functions depend on that too."""
    digest = hashlib.sha256(ROOT.encode())
    for path in sorted(glob.glob(os.path.join(ROOT, "crates/**/*"), recursive=True)) + [os.path.join(ROOT, "Cargo.lock")]:
        if os.path.isfile(path):
            digest.update(path.removeprefix(ROOT).encode() + b"\0" + open(path, "rb").read())
    return digest.hexdigest()


def merger():
    """The program that merges counts, of the same LLVM as the compiler's; `None` when there is none."""
    told = subprocess.run(["rustc", "-vV"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    version = re.search(r"LLVM version: (\d+)", told).group(1)
    root = subprocess.run(["rustc", "--print", "sysroot"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    own = glob.glob(os.path.join(root, "lib/rustlib/*/bin/llvm-profdata"))
    return next(iter(own), None) or shutil.which(f"llvm-profdata-{version}")
