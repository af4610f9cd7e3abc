#!/usr/bin/env bash
# Builds the kernels for the host emulation and runs their tests.
#
#   kernels/emu/test.sh [--sanitize] [TEST...]     all of kernels/emu/test/TEST_test.cc by default
#
# --sanitize builds with AddressSanitizer and UndefinedBehaviorSanitizer. CXX names the compiler (g++),
# JOBS the tests at once (2). With CAMBIUM_MUTANT_OVERLAY=ORIGINAL=MUTATED the second file is read in
# place of the first, only tests that read it run, and the exit code is 125 if one does not compile.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
kernels=$(dirname "$here")
cache=$(dirname "$kernels")/.cache/emu
cxx=${CXX:-g++}
flags=(-std=c++17 -O1 -g1 -Wall -Wextra -Wno-unknown-pragmas -Werror -DCUDA_EMU)
mode=plain

tests=()
for arg in "$@"; do
  case $arg in
    --sanitize) mode=sanitize ;;
    *) tests+=("$arg") ;;
  esac
done
if [ ${#tests[@]} -eq 0 ]; then
  for file in "$here"/test/*_test.cc; do
    file=${file##*/}
    tests+=("${file%_test.cc}")
  done
fi
[ "$mode" = plain ] || flags+=(-fsanitize=address -fsanitize=undefined -fno-sanitize-recover=all)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$cache"
find "$cache" -type f -mtime +7 -delete

# A tree of links in which one file may be another: #include "..." looks beside the link.
tree=$work/kernels
cp -rs "$kernels" "$tree"
mapped=-ffile-prefix-map=$work/= # the same text wherever the tree lies
mutant=
if [ -n "${CAMBIUM_MUTANT_OVERLAY-}" ]; then
  mutant=${CAMBIUM_MUTANT_OVERLAY%%=*}
  mutant=$tree${mutant#"$kernels"}
  [ -L "$mutant" ] || { printf '%s: %s is not below %s\n' "$0" "$mutant" "$kernels" >&2; exit 2; }
fi

# build NAME OUTPUT FLAGS...: the program, from the cache if its preprocessed text has been compiled.
build() {
  local name=$1 output=$2 key
  shift 2
  "$cxx" "${flags[@]}" "$@" "$mapped" -E -P "$tree/emu/test/${name}_test.cc" -o "$work/$name.ii"
  key=$({ "$cxx" --version; printf '%s\n' "${flags[@]}" "$@"; cat "$work/$name.ii"; } | sha256sum | cut -c1-32)
  if [ ! -x "$cache/$key" ]; then
    "$cxx" "${flags[@]}" "$@" "$mapped" "$tree/emu/test/${name}_test.cc" -o "$cache/$key.$$"
    mv "$cache/$key.$$" "$cache/$key"
  fi
  ln -sf "$cache/$key" "$output"
}

# reads_mutant NAME: whether the test includes the file that another stands for.
reads_mutant() {
  local file
  while read -r file; do
    [ "$(realpath -s "$file")" != "$mutant" ] || return 0
  done < <("$cxx" "${flags[@]}" -MM "$tree/emu/test/$1_test.cc" | sed 's,\\,,g' | tr ' ' '\n' | grep /)
  return 1
}

# run NAME: its last line is the verdict.
run() {
  local name=$1 how
  build "$name" "$work/$name" || return 125
  "$work/$name" || return 1
  [ "$name" = emu ] || return 0
  if [ "$mode" = plain ]; then
    build emu "$work/emu-ucontext" -DEMU_UCONTEXT
    "$work/emu-ucontext" || return 1
    return 0
  fi
  for how in 0 1 2; do # the sanitizer ends the program
    if EMU_TEST_OVERRUN=$how "$work/emu" out_of_bounds >"$work/overrun" 2>&1 ||
      ! grep -qE 'ERROR: AddressSanitizer|runtime error: index' "$work/overrun"; then
      printf 'FAIL emu: access %d out of bounds was not noticed\n' "$how"
      return 1
    fi
  done
}

pids=()
status=0
collect() { # the oldest test: its output at once, so that those of two do not mix
  local code=0
  wait "${pids[0]%%:*}" || code=$?
  sed "s/^/${pids[0]#*:} ($mode): /" "$work/${pids[0]#*:}.log"
  if [ "$code" -ne 0 ] && [ "$status" -ne 125 ]; then status=$code; fi
  pids=("${pids[@]:1}")
}
if [ -n "$mutant" ]; then
  chosen=()
  for name in "${tests[@]}"; do
    if reads_mutant "$name"; then chosen+=("$name"); fi
  done
  tests=(${chosen[@]+"${chosen[@]}"})
  cache=$work # nobody compiles it again
  export EMU_FIRST_FAILURE=1
  ln -sf "${CAMBIUM_MUTANT_OVERLAY#*=}" "$mutant"
fi
for name in ${tests[@]+"${tests[@]}"}; do
  [ -e "$here/test/${name}_test.cc" ] || { printf '%s: no test %s\n' "$0" "$name" >&2; exit 2; }
  [ ${#pids[@]} -lt "${JOBS:-2}" ] || collect
  run "$name" >"$work/$name.log" 2>&1 &
  pids+=("$!:$name")
done
while [ ${#pids[@]} -gt 0 ]; do collect; done
exit "$status"
