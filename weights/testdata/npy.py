"""Makes the npy and npz files of this folder with numpy, 2.4.6 when they were committed.

    python npy.py

Element i of an array, counted in row-major order, is i - 2; i modulo 2 if it is
boolean, i if it is unsigned.
"""
import os

import numpy as np

os.chdir(os.path.dirname(os.path.abspath(__file__)))


def ramp(dtype, *shape):
    n = np.arange(int(np.prod(shape, dtype=int)))
    return (n % 2 if dtype == "?" else n if "u" in dtype else n - 2).astype(dtype).reshape(shape)


arrays = {
    "f4": ramp("<f4", 2, 3),
    "f8_fortran": np.asfortranarray(ramp("<f8", 2, 3)),
    "i2_big": ramp(">i2", 2, 2),
    "f2_scalar": ramp("<f2"),
    "b1": ramp("?", 5),
    "c16": ramp("<c16", 2),
    "i8_empty": ramp("<i8", 3, 0, 4),
    "i1": ramp("i1", 1, 1, 3),
}
for name, array in arrays.items():
    np.save(name + ".npy", array)
for version in 2, 3:
    with open(f"u4_version{version}.npy", "wb") as f:
        np.lib.format.write_array(f, ramp("<u4", 4), (version, 0))
np.savez("stored.npz", x=arrays["f4"], y=arrays["f8_fortran"])
np.savez_compressed("deflated.npz", x=arrays["f4"], y=np.zeros((20, 30), "<f4"))
