"""Builds what is measured: the `bench` profile, which has link-time optimisation. The first build takes many minutes."""
import json, os, subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def build(package, example=None):
    """The path of a package's program, or of an example of it."""
    command = ["cargo", "build", "--quiet", "--profile", "bench", "--package", package, "--message-format",
               "json-render-diagnostics"] + (["--example", example] if example else [])
    print(f"building {example or package} with link-time optimisation", flush=True)
    lines = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    made = [json.loads(line) for line in lines if line.startswith("{")]
    return next(one["executable"] for one in made
                if one.get("executable") and one["target"]["name"] == (example or package))
