"""The reference implementation's side of TestInterop: cases on stdin, answers on stdout.

A case is a letter, a length (4 bytes, little endian) and that many bytes of a safetensors file.
R: is it accepted? The answer is "accepted DIGEST" or "refused REASON". The digest is of names, types, shapes and bytes.
W: the file is read into NumPy and written again; the answer is "written DIGEST" of the new file.
"""

import hashlib
import struct
import sys

import safetensors
import safetensors.numpy


def describe(file):
    digest = hashlib.sha256()
    for name, t in sorted(safetensors.deserialize(file), key=lambda pair: pair[0].encode()):
        shape = ",".join(str(d) for d in t["shape"])
        digest.update(f"{name}\n{t['dtype']}\n{shape}\n{len(t['data'])}\n".encode())
        digest.update(bytes(t["data"]))
    return digest.hexdigest()


def answer(kind, file):
    if kind == b"W":
        return "written " + hashlib.sha256(safetensors.numpy.save(safetensors.numpy.load(file), {"format": "np"})).hexdigest()
    try:
        return "accepted " + describe(file)
    except safetensors.SafetensorError as e:
        return "refused " + str(e).replace("\n", " ")


print("safetensors", safetensors.__version__, flush=True)
while kind := sys.stdin.buffer.read(1):
    (length,) = struct.unpack("<I", sys.stdin.buffer.read(4))
    print(answer(kind, sys.stdin.buffer.read(length)), flush=True)
