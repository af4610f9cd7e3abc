// The table of emulated kernels.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "../../../kernels/device.cuh"

namespace fake {

// A Launcher runs a kernel on arguments of 8 bytes each; it throws emu::Error.
using Launcher = std::function<void(dim3 grid, dim3 block, size_t shared, const uint64_t* args)>;

struct Kernel {
  Launcher launch;
  size_t parameters;
};

const std::map<std::string, Kernel>& kernels();

void set_order(uint64_t seed);

}  // namespace fake
