#!/usr/bin/env bash
# Builds the fake driver.
#
#   cuda/fakecuda/driver/build.sh [--sanitize] INCLUDE OUTPUT     INCLUDE has cuda.h; OUTPUT is the library
#
# --sanitize builds with AddressSanitizer, for programs built with go build -asan. CXX names the
# compiler (g++).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cxx=${CXX:-g++}
flags=(-std=c++17 -O2 -g1 -fPIC -Wall -Wextra -Wno-unknown-pragmas -Werror -DCUDA_EMU)
if [ "${1-}" = --sanitize ]; then
  flags+=(-fsanitize=address)
  shift
fi
include=$1 output=$2
mkdir -p "$(dirname "$output")"

# Kept as long as what the compiler reads stays the same.
key=$({
  "$cxx" --version
  printf '%s\n' "${flags[@]}"
  "$cxx" "${flags[@]}" -I "$include" -E -P "$here/driver.cc"
  "$cxx" "${flags[@]}" -E -P "$here/kernels.cc"
} | sha256sum)
if [ -e "$output" ] && [ "$(cat "$output.key" 2>/dev/null)" = "$key" ]; then exit 0; fi
"$cxx" "${flags[@]}" -I "$include" -shared -o "$output" "$here/driver.cc" "$here/kernels.cc"
printf '%s' "$key" >"$output.key"
