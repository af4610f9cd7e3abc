"""Times CKA of all pairs of layers: cambium's command against the Python packages, on the same file, results first.

    python -m venv .cache/peers && .cache/peers/bin/pip install -r bench/peers/requirements.txt
    go build -o .cache/cambium ./cmd/cambium
    .cache/peers/bin/python bench/peers/cka.py --command .cache/cambium > bench/results/cka-peers.txt

Every measurement is a process of its own, one at a time, taken in turns. A peer's time is reading the features from
the file into tensors plus the package's own Gram and HSIC routines, without importing anything; cambium's is the whole process.
Three of the packages work pair by pair, at a cost that does not depend on the pair: they are stopped after --budget
seconds, and the time is scaled to all pairs, which is said.
"""
import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time

PEERS = ["pytorch-cka", "cka-pytorch", "torch-cka", "ckatorch"]


def features(layers, rows, width):
    """Layers that drift from each other, as those of a network do."""
    import numpy as np

    random = np.random.default_rng(1)
    x = random.standard_normal((rows, width), dtype=np.float32) + np.float32(0.5)
    for i in range(layers):
        if i:
            x = np.float32(0.9) * x + np.float32(0.45) * random.standard_normal((rows, width), dtype=np.float32)
        yield f"layer.{i:02d}", x


def reference(path):
    """Debiased CKA of all pairs in float64, from the definition."""
    import numpy as np
    from safetensors.numpy import load_file

    kernels = []
    for x in load_file(path).values():
        x = x.astype(np.float64)
        x -= x.mean(0)
        k = x @ x.T
        n = len(k)
        np.fill_diagonal(k, 0)
        shift = k.sum(0) / (n - 2)
        shift -= shift.sum() / (2 * (n - 1))
        k -= shift[:, None] + shift[None]
        np.fill_diagonal(k, 0)
        kernels.append(k.ravel())
    h = np.array([[a @ b for b in kernels] for a in kernels])
    root = np.sqrt(np.diag(h))
    return h / root[:, None] / root[None]


def run_pytorch_cka(torch, x, deadline):
    from cka.hsic import hsic_cross

    grams = torch.stack([f @ f.T for f in x])
    h = hsic_cross(grams, grams)
    root = h.diagonal().clamp(min=0).sqrt()
    return torch.clamp(h / (root[:, None] * root[None]), 0, 1), 1.0


def pair_by_pair(torch, layers, value, deadline):
    """Fills the matrix until the deadline; returns it and the factor to all pairs."""
    out = torch.full((layers, layers), float("nan"), dtype=torch.float64)
    done = 0
    for i in range(layers):
        for j in range(layers):
            out[i, j] = value(i, j)
            done += 1
            if time.perf_counter() > deadline:
                return out, layers * layers / done
    return out, 1.0


def run_torch_cka(torch, x, deadline):
    from torch_cka.cka import CKA

    class Shell:
        device = "cpu"

    def hsic(a, b):
        return CKA._HSIC(Shell, a, b)

    def value(i, j):  # as CKA.compare does for each pair of one batch
        k = x[i] @ x[i].t()
        k.fill_diagonal_(0.0)
        m = x[j] @ x[j].t()
        m.fill_diagonal_(0.0)
        return hsic(k, m) / (hsic(k, k).sqrt() * hsic(m, m).sqrt())

    return pair_by_pair(torch, len(x), value, deadline)


def run_ckatorch(torch, x, deadline):
    from ckatorch.core import cka_batch

    return pair_by_pair(torch, len(x), lambda i, j: cka_batch(x[i][None], x[j][None]), deadline)


def run_cka_pytorch(torch, x, deadline):
    from cka_pytorch.hsic import hsic1

    grams = [f @ f.T for f in x]
    own = [hsic1(g[None], g[None]) for g in grams]

    def value(i, j):
        return (hsic1(grams[i][None], grams[j][None]) / torch.sqrt(own[i] * own[j] + 1e-4)).item()

    return pair_by_pair(torch, len(x), value, deadline)


def worker(name, path, budget):
    """One measurement of one peer; prints JSON."""
    import torch
    from safetensors.torch import load_file

    method = {"pytorch-cka": run_pytorch_cka, "torch-cka": run_torch_cka, "ckatorch": run_ckatorch, "cka-pytorch": run_cka_pytorch}[name]
    if name == "pytorch-cka":
        import cka.hsic  # noqa: F401
    torch.set_grad_enabled(False)
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    begun = time.perf_counter()
    x = [f.clone() for f in load_file(path).values()]
    loaded = time.perf_counter()
    out, factor = method(torch, x, loaded + budget)
    seconds = (loaded - begun) + (time.perf_counter() - loaded) * factor
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": seconds, "factor": factor, "peak_mib": peak / 1024, "cka": out.tolist()}))


def measure(command, environment):
    begun = time.perf_counter()
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    seconds = time.perf_counter() - begun
    if done.returncode:
        sys.exit(f"{command[0]}: {done.stderr}")
    return seconds, json.loads(done.stdout)


def peak_of(command, environment):
    """Peak resident memory of a child of its own, in MiB: VmHWM as the kernel counts it."""
    code = "import resource,subprocess,sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    out = subprocess.run([sys.executable, "-c", code, *command], env=environment, check=True, capture_output=True, text=True)
    return int(out.stdout) / 1024


def processor():
    try:
        with open("/proc/cpuinfo") as f:
            info = dict(line.split(":", 1) for line in f.read().split("\n\n")[0].splitlines() if ":" in line)
        info = {k.strip(): v.strip() for k, v in info.items()}
        return f"{info['model name']}, family {info['cpu family']} model {info['model']}"
    except (OSError, KeyError):
        return platform.processor()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--command", default=".cache/cambium")
    p.add_argument("--layers", type=int, default=32)
    p.add_argument("--rows", type=int, default=2048)
    p.add_argument("--width", type=int, default=768)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--budget", type=float, default=30, help="seconds for a package that works pair by pair")
    p.add_argument("--worker", nargs=2, metavar=("PEER", "FILE"), help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.worker:
        return worker(*a.worker, a.budget)

    import numpy as np
    from safetensors.numpy import save_file

    environment = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
    for k in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        environment[k] = str(a.threads)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "features.safetensors")
        save_file(dict(features(a.layers, a.rows, a.width)), path)
        want = reference(path)
        ours = [a.command, "cka", path, "--estimator", "debiased", "--json", "--quiet", "--workers", str(a.threads)]
        times, errors, peaks, factors = {}, {}, {}, {}
        for _ in range(a.rounds):
            for name in ["cambium", *PEERS]:
                if name == "cambium":
                    seconds, r = measure(ours, environment)
                    factor = 1.0
                else:
                    _, r = measure([sys.executable, __file__, "--budget", str(a.budget), "--worker", name, path], environment)
                    seconds, factor, peaks[name] = r["seconds"], r["factor"], r["peak_mib"]
                got = np.array(r["cka"], dtype=np.float64)
                errors[name] = float(np.nanmax(np.abs(got - want)))
                factors[name] = factor
                times.setdefault(name, []).append(seconds)
        peaks["cambium"] = peak_of(ours, environment)
        size = os.path.getsize(path)

    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
    version = subprocess.run([a.command, "devices", "--json"], capture_output=True, text=True).stdout
    tier = next(b["name"] for b in json.loads(version)["backends"] if b["default"])
    print(f"# debiased CKA of all pairs: {a.layers} layers, {a.rows} rows, {a.width} features, float32; {a.threads} threads")
    print(f"# {time.strftime('%Y-%m-%d', time.gmtime())}, commit {commit}, {tier}; {processor()}, {os.cpu_count()} processors, {platform.system()} {platform.machine()}")
    print(f"# medians of {a.rounds} rounds in turns; features {size / 2**20:.0f} MiB; packed triangles would be {a.layers * a.rows * (a.rows + 1) / 2 * 4 / 2**20:.0f} MiB in float32")
    print("# error: largest difference from float64 over the pairs computed; scaled: stopped early, time scaled to all pairs")
    print("# peak: resident memory of the process; for the Python packages it includes their imports")
    print(f"{'':14} {'seconds':>9} {'min':>9} {'max':>9} {'/ cambium':>10} {'error':>9} {'peak MiB':>9}  scaled")
    base = statistics.median(times["cambium"])
    for name, t in times.items():
        m = statistics.median(t)
        print(f"{name:14} {m:9.2f} {min(t):9.2f} {max(t):9.2f} {m / base:10.2f} {errors[name]:9.1e} {peaks[name]:9.0f}  {'' if factors[name] == 1 else f'x {factors[name]:.0f}'}")


if __name__ == "__main__":
    main()
