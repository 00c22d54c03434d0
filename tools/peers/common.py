"""What all parts of tools/bench-peers use: the program, the peers, taking turns."""
import json
import os
import re
import shutil
import statistics
import subprocess
import time

TOP = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
BUILD = os.path.abspath(os.environ.get("FT_BUILDDIR", os.path.join(TOP, "build")))
FETTLE = os.path.abspath(os.environ.get("FETTLE", os.path.join(BUILD, "src", "fettle")))
SHARED = os.environ.get("FT_SHARED", os.path.join(TOP, "..", "shared"))
PYTHON = "/usr/bin/python3"  # the one that Debian's python3-torch belongs to
BLIS = "/usr/lib/x86_64-linux-gnu/blis-openmp/libblas.so.3"
PACKAGES = ["python3-torch", "libblis4-openmp"]


class Absent(Exception):
    """Something that a part needs is not there; the text says what."""


def shapes():
    """The Llama rows of src/cmd/shapes.def as members of a config.json."""
    with open(os.path.join(TOP, "src", "cmd", "shapes.def"), encoding="utf-8") as f:
        rows = re.findall(r"^FT_SHAPE\((.*?)\)$", f.read(), re.S | re.M)
    found = {}
    for row in rows:
        config = {k: v.strip('"') for k, v in re.findall(r'\.(\w+) = ("[^"]*"|[\w.]+)', row)}
        if config["model_type"] == "llama":
            numbers = {k: float(v) if k == "rope_theta" else int(v) for k, v in config.items() if v[0].isdigit()}
            found[config["name"]] = dict(numbers, model_type="llama", max_position_embeddings=2048, rms_norm_eps=1e-5,
                                         tie_word_embeddings=config.get("tied") == "true")
    return found


def write_json(value, *path):
    """-> the path."""
    with open(os.path.join(*path), "w", encoding="utf-8") as f:
        json.dump(value, f)
    return os.path.join(*path)


def run(command, env=None):
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: status {done.returncode}\n{done.stderr}")
    return done.stdout


def last_json(command, env=None):
    return json.loads(run(command, env).strip().splitlines()[-1])


def fettle(*arguments):
    return last_json([FETTLE, *arguments, "--json"])


def random_directory(shape, dtype, work):
    """An HF directory of the shape with random weights; the tokenizer is a small one."""
    config, out = write_json(shapes()[shape], work, "config.json"), os.path.join(work, "hf")
    run([FETTLE, "init", config, "--tokenizer", os.path.join(TOP, "data", "base"), "--out", out, "--dtype", dtype])
    return out


def threads():
    return len(os.sched_getaffinity(0))


def need_torch():
    if subprocess.run([PYTHON, "-c", "import torch"], capture_output=True, check=False).returncode:
        raise Absent(f"{PYTHON} has no torch: tools/bench-peers --install, or apt install {' '.join(PACKAGES)}")


def tuned_environment():
    """A BLAS on OpenMP in place of the one with threads of its own, all cores, a malloc that keeps its memory."""
    n = str(threads())
    env = dict(os.environ, OMP_NUM_THREADS=n, BLIS_NUM_THREADS=n, MALLOC_MMAP_THRESHOLD_="100000000000",
               MALLOC_TRIM_THRESHOLD_="100000000000", MALLOC_TOP_PAD_="67108864")
    if os.path.exists(BLIS):
        env["LD_PRELOAD"] = BLIS
    return env


def npm_packages(folder, work):
    """The packages that FOLDER/package-lock.json pins, installed once into `work`; -> node_modules."""
    if not shutil.which("npm") or not shutil.which("node"):
        raise Absent("no node or no npm (Debian: nodejs npm)")
    lock, installed = os.path.join(folder, "package-lock.json"), os.path.join(work, "package-lock.json")
    wanted = open(lock, encoding="utf-8").read()
    if not os.path.exists(os.path.join(work, "done")) or open(installed, encoding="utf-8").read() != wanted:
        os.makedirs(work, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(os.path.join(folder, name), work)
        done = subprocess.run(["npm", "ci", "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=work,
                              capture_output=True, text=True, check=False)
        if done.returncode:
            raise Absent(f"npm cannot install the packages of {lock}: {done.stderr.strip()[-300:]}")
        open(os.path.join(work, "done"), "w", encoding="utf-8").close()
    return os.path.join(work, "node_modules")


def take_turns(rounds, contestants):
    """contestants: name -> what measures it once. -> a list of {name: result}, a turn each, with the load before it."""
    turns = []
    for _ in range(rounds):
        turn = {"load": os.getloadavg()[0], "at": time.strftime("%Y-%m-%d %H:%M:%S")}
        for name, measure in contestants.items():
            turn[name] = measure()
        turns.append(turn)
    return turns


def ratio(turns, a, b, key):
    """The median of the turns' ratios."""
    return statistics.median(t[a][key] / t[b][key] for t in turns)


def median(turns, who, key):
    return statistics.median(t[who][key] for t in turns)
