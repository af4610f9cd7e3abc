#!/usr/bin/env python3
"""Times what bench.test times with PyTorch, which calls cuBLAS, on the same device in the same run.

usage: peers.py OUT.tsv

Writes a line for each case: name, median seconds, error. The product's output is float32, as ours is, where PyTorch has
that (out_dtype of torch.mm); elsewhere its own, and the name says so. Each case is warmed up and timed 50 times with CUDA
events; the second-level cache is flushed between runs. The read ceiling is a sum over 2 GiB. Exit code 3: no torch, or no device.
"""

import statistics
import sys

try:
    import torch
except ImportError:
    print("peers: torch is not installed")
    sys.exit(3)
if not torch.cuda.is_available():
    print("peers: torch sees no CUDA device")
    sys.exit(3)

SIZES = [(1024, 1024), (4096, 4096), (8192, 4096)]
flush = torch.empty(256 << 20, dtype=torch.int8, device="cuda")


def timed(f, runs=50):
    """Returns the median time of f in seconds."""
    for _ in range(5):
        f()
    times = []
    for _ in range(runs):
        flush.zero_()
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        f()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) / 1e3)
    return statistics.median(times)


def error(got, x, y):
    """Returns the largest error over sum |x||y| of the first 64 x 64 elements."""
    p, q = x[:64].double(), y[:64].double()
    want, gauge = p @ q.T, p.abs() @ q.abs().T
    return ((got[:64, :64].double() - want).abs() / gauge).max().item()


def product(x, y):
    """Returns a function that computes x·yᵀ, and the name of its output type."""
    if x.dtype != torch.float32:
        try:
            torch.mm(x[:16], y[:16].T, out_dtype=torch.float32)
            return (lambda: torch.mm(x, y.T, out_dtype=torch.float32)), "f32"
        except (TypeError, RuntimeError):
            return (lambda: torch.mm(x, y.T)), str(x.dtype).split(".")[1]
    return (lambda: torch.mm(x, y.T)), "f32"


def main():
    names = {torch.bfloat16: "bf16", torch.float16: "f16", torch.float32: "f32"}
    with open(sys.argv[1], "w", encoding="utf-8") as out:

        def row(name, seconds, err):
            out.write(f"{name}\t{seconds:.6g}\t{err:.3g}\n")
            out.flush()
            print(name, f"{seconds * 1e6:.1f} us", f"error {err:.3g}")

        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
        torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
        for n, k in SIZES:
            for dt, name in names.items():
                torch.manual_seed(1)
                x, y = (torch.randn(n, k, device="cuda").to(dt) for _ in range(2))
                f, kind = product(x, y)
                row(f"Matmul/{n}x{n}x{k}/{name}/cublas->{kind}", timed(f), error(f(), x, y))
                if dt == torch.float16:
                    continue
                f, kind = product(x, x)
                row(f"Gram/{n}x{k}/{name}/cublas->{kind}", timed(f), error(f(), x, x))
        big = torch.zeros(1 << 30, dtype=torch.bfloat16, device="cuda")
        row("Rotation/32x4096x4096/bf16/read ceiling", timed(lambda: big.sum(dtype=torch.float32), 20), 0)


if __name__ == "__main__":
    main()
