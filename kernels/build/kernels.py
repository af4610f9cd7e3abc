#!/usr/bin/env python3
"""Compiles kernels/*.cu into kernels/bin: PTX for sm_80 and everything newer, cubins for sm_80 and sm_90a.

    kernels.py [--check] [--toolchain]

Needs python3 with pip on Linux x86-64, and the network once: the compiler comes from the wheels in
requirements.txt and stays in .cache. No GPU, driver or C compiler. The output is the same bytes
everywhere; --check compares it with the committed one and writes nothing. --toolchain only fetches
the compiler and prints its directory.

Besides the code it writes kernels.json, the table of kernels that the host launches by, and ptxas.txt,
what the assembler says of each. A kernel that spills registers, uses local memory or draws a warning
from the assembler is an error.
"""

import ctypes
import hashlib
import json
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile

KERNELS = pathlib.Path(__file__).resolve().parent.parent
BIN = KERNELS / "bin"
REQUIREMENTS = pathlib.Path(__file__).with_name("requirements.txt")
# ISA 8.0 is that of CUDA 12.0: drivers from r525 on compile it. The kernels use nothing newer, which
# the assembler checks.
PTX_ISA = "8.0"
CUBINS = {"sm_80": "compute_80", "sm_90a": "compute_90a"}


def toolchain():
    """Returns the directory of the unpacked wheels, fetching them if need be."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        sys.exit(f"kernels: the pinned compiler runs on Linux x86-64, this is {platform.system()} {platform.machine()}")
    key = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]
    home = KERNELS.parent / ".cache" / f"cuda-{key}"
    if not home.is_dir():
        home.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home.parent) as fresh:
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            pip += ["--no-deps", "--only-binary=:all:", "--no-compile", "--require-hashes", "--root-user-action=ignore"]
            if subprocess.run([*pip, "--target", f"{fresh}/cuda", "-r", REQUIREMENTS]).returncode:
                sys.exit("kernels: pip could not install the wheels of kernels/build/requirements.txt")
            pathlib.Path(fresh, "cuda").rename(home)
    return home / "nvidia"


class Compiler:
    """NVRTC through ctypes, and ptxas."""

    def __init__(self, home):
        lib = home / "cuda_nvrtc" / "lib"
        ctypes.CDLL(str(lib / "libnvrtc-builtins.so.12.9"), mode=ctypes.RTLD_GLOBAL)
        self.nvrtc = ctypes.CDLL(str(lib / "libnvrtc.so.12"))
        self.nvrtc.nvrtcGetErrorString.restype = ctypes.c_char_p
        self.assembler = home / "cuda_nvcc" / "bin" / "ptxas"
        self.assembler.chmod(0o755)

    def check(self, code, what):
        if code:
            sys.exit(f"kernels: {what}: {self.nvrtc.nvrtcGetErrorString(code).decode()}")

    def text(self, program, get):
        size = ctypes.c_size_t()
        self.check(getattr(self.nvrtc, get + "Size")(program, ctypes.byref(size)), get)
        buffer = ctypes.create_string_buffer(size.value)
        self.check(getattr(self.nvrtc, get)(program, buffer), get)
        return buffer.raw.rstrip(b"\0").decode()

    def ptx(self, source, arch):
        """Compiles a file to PTX; anything the compiler says is an error."""
        program = ctypes.c_void_p()
        create = self.nvrtc.nvrtcCreateProgram
        self.check(create(ctypes.byref(program), source.read_bytes(), source.name.encode(), 0, None, None), source.name)
        options = [f"--gpu-architecture={arch}", "--std=c++17", f"-I{KERNELS}"]
        array = (ctypes.c_char_p * len(options))(*[o.encode() for o in options])
        code = self.nvrtc.nvrtcCompileProgram(program, len(options), array)
        log = self.text(program, "nvrtcGetProgramLog").strip()
        if log or code:
            sys.exit(f"kernels: {source.name} for {arch}:\n{log}")
        text = self.text(program, "nvrtcGetPTX")
        self.nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
        return text

    def cubin(self, ptx, arch, out):
        """Assembles PTX and returns what ptxas -v says."""
        with tempfile.TemporaryDirectory() as scratch:
            source = pathlib.Path(scratch, "in.ptx")  # a fixed name: it must not reach the output
            source.write_text(ptx)
            done = subprocess.run(
                [self.assembler, "-v", f"-arch={arch}", "in.ptx", "-o", "out.cubin"],
                cwd=scratch, capture_output=True, text=True, check=False,
            )
            log = done.stdout + done.stderr
            if done.returncode or re.search(r"warning|serialized", log, re.I):
                sys.exit(f"kernels: ptxas for {arch}, {out.name}:\n{log}")
            shutil.copyfile(pathlib.Path(scratch, "out.cubin"), out)
            return log


def resources(log, arch):
    """Reads ptxas -v: {kernel: {registers, stack, spills, static}}."""
    found = {}
    pattern = (
        r"Compiling entry function '(\w+)' for '\w+'\n"
        r".*?(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads\n"
        r".*?Used (\d+) registers(?:, used \d+ barriers)?(.*?)\n"
    )
    for name, stack, stores, loads, registers, rest in re.findall(pattern, log, re.S):
        static = re.search(r"(\d+) bytes smem", rest)
        found[name] = {
            "registers": int(registers),
            "local": int(stack),
            "spills": int(stores) + int(loads),
            "static": int(static.group(1)) if static else 0,
        }
        if found[name]["local"] or found[name]["spills"]:
            sys.exit(f"kernels: {name} for {arch} uses local memory: {found[name]}")
    return found


def parameters(source, symbol):
    """Returns the kernel's parameters as the source declares them."""
    head = re.search(r"\b%s\(([^)]*)\)\s*\{" % symbol, source)
    return [" ".join(p.split()).replace("cambium::", "") for p in head.group(1).split(",")]


def describe(ptx, source, module):
    """Lists the kernels of one PTX module."""
    table = []
    for symbol, params, limits in re.findall(r"\.visible \.entry (\w+)\((.*?)\)\n(.*?)\{", ptx, re.S):
        block = re.search(r"\.maxntid (\d+)(?:, 1, 1)?\n", limits)
        if not block:
            sys.exit(f"kernels: {symbol} has no __launch_bounds__")
        dynamic = re.search(r"\.global \.align 4 \.u32 %s_dynamic_shared(?: = (\d+))?;" % symbol, ptx)
        names = parameters(source, symbol)
        if len(names) != params.count(".param"):
            sys.exit(f"kernels: {symbol}: {params.count('.param')} parameters in PTX, {len(names)} in the source")
        table.append({
            "symbol": symbol,
            "module": module,
            "block": int(block.group(1)),
            "dynamicShared": int(dynamic.group(1) or 0) if dynamic else 0,
            "parameters": names,
        })
    return table


def build(out):
    compiler = Compiler(toolchain())
    table, report = [], []
    for path in sorted(KERNELS.glob("*.cu")):
        module = path.stem
        ptx = compiler.ptx(path, "compute_80")
        ptx = re.sub(r"(?m)^\.version .*$", f".version {PTX_ISA}", ptx, count=1)
        ptx = re.sub(r'(?m)^\s*\.pragma "used_bytes_mask.*\n', "", ptx)  # a hint that ISA 8.0 does not know
        (out / f"{module}.compute_80.ptx").write_text(ptx)
        kernels = describe(ptx, path.read_text(), module)
        table += kernels
        for arch, virtual in CUBINS.items():
            text = ptx if virtual == "compute_80" else compiler.ptx(path, virtual)
            used = resources(compiler.cubin(text, arch, out / f"{module}.{arch}.cubin"), arch)
            for kernel in kernels:
                r = used[kernel["symbol"]]
                kernel.setdefault("staticShared", {})[arch] = r["static"]
                report.append((kernel["symbol"], arch, r["registers"], r["static"], kernel["dynamicShared"], r["spills"], r["local"]))
    rows = [json.dumps(k) for k in table]
    (out / "kernels.json").write_text("[\n  " + ",\n  ".join(rows) + "\n]\n")
    head = ("kernel", "arch", "registers", "static", "dynamic", "spills", "local")
    lines = [head, *sorted(report)]
    (out / "ptxas.txt").write_text("".join("%-34s %-7s %9s %7s %8s %7s %6s\n" % line for line in lines))


def main():
    unknown = set(sys.argv[1:]) - {"--check", "--toolchain"}
    if unknown:
        sys.exit(f"kernels: unknown argument {' '.join(sorted(unknown))}\n\n{__doc__}")
    if "--toolchain" in sys.argv:
        print(toolchain())
        return
    with tempfile.TemporaryDirectory() as scratch:
        out = pathlib.Path(scratch)
        build(out)
        fresh = {p.name: p.read_bytes() for p in out.iterdir()}
    committed = {p.name: p.read_bytes() for p in BIN.iterdir()} if BIN.is_dir() else {}
    changed = sorted(n for n in fresh.keys() | committed.keys() if fresh.get(n) != committed.get(n))
    if "--check" not in sys.argv:
        BIN.mkdir(exist_ok=True)
        for name in changed:
            if name in fresh:
                (BIN / name).write_bytes(fresh[name])
            else:
                (BIN / name).unlink()
    elif changed:
        sys.exit(f"kernels: kernels/bin is not what the sources give: {', '.join(changed)}; run ./build.sh kernels")
    size = sum(map(len, fresh.values()))
    print(f"kernels: {len(fresh)} files, {size} bytes; {len(changed)} changed")
    sys.stdout.write(fresh["ptxas.txt"].decode())


if __name__ == "__main__":
    main()
