#!/usr/bin/env bash
# The one entry for building, testing and measuring. `./build.sh` alone lists the commands.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# Pinned: a newer linter or benchstat must not change the outcome of an old revision.
golangci_version=v2.15.0
clang_format_version=19.1.7
perf_version=v0.0.0-20260908200009-22c9c6c9d4da
tools=$PWD/.cache/tools

usage() {
  cat <<'EOF'
usage: ./build.sh COMMAND

  test                     build, vet and test with Go alone; with a C compiler also the race detector and, with g++,
                           the CUDA kernels on the host emulation
  ci                       what CI runs: .ci/run
  lint                     golangci-lint, formatting, cgo only where it belongs, clang-format, shellcheck
  bench [FLAGS]            benchmarks in bench/; FLAGS are those of go test, written -name=value
  bench --against REV [--rounds N] [FLAGS]
                           the same on REV and on this tree in turns, compared by benchstat
  mutate PKG... [--seed N] [--count K] [FLAGS]
                           single-token mutations; reports those that no test noticed
  fuzz [SECONDS]           every fuzz target for SECONDS (default 60)
  release                  the command for each platform in dist/, with SHA256SUMS
  kernels [--check]        compile kernels/*.cu into kernels/bin; --check compares with what is committed
  cuda [--headers]         bin/cambium with the CUDA backend; runs without an NVIDIA driver too. --headers fetches cuda.h
                           and prints the directory, for CGO_CFLAGS=-I... go build -tags cuda
  gpu                      dist/gpu, the bundle for a machine with a GPU and no Go: tests, benchmarks, peers
  interop                  file formats against the Python packages, installed into .cache

CAMBIUM_REQUIRE=all turns everything left out for want of a tool into a failure.
EOF
}

say() { printf '== %s\n' "$*"; }

# refuse MESSAGE: the command cannot be done on this tree. 2 is the exit code of wrong usage.
refuse() {
  printf 'build.sh: %s\n' "$*" >&2
  exit 2
}

require_all() { [ "${CAMBIUM_REQUIRE-}" = all ]; }

# left_out WHAT WHY: a check that a tool missing on this machine keeps from running.
missing=0
notes=()
left_out() {
  notes+=("left out: $1: $2")
  missing=1
}

# not_here WHAT WHY: a check that has no subject in this revision; never a failure.
not_here() { notes+=("not in this revision: $1: $2"); }

finish_notes() {
  local note
  for note in ${notes[@]+"${notes[@]}"}; do
    printf '%s\n' "$note"
  done
  if [ "$missing" = 1 ] && require_all; then
    printf 'build.sh: CAMBIUM_REQUIRE=all and something was left out\n' >&2
    exit 1
  fi
}

# c_compiler: the compiler that cgo, and with it the race detector, would call.
c_compiler() {
  local cc
  cc=$(go env CC)
  command -v "${cc%% *}" >/dev/null
}

# race_supported: Go has a race detector for this platform.
race_supported() {
  case "$(go env GOOS)/$(go env GOARCH)" in
    linux/amd64 | linux/arm64 | linux/ppc64le | darwin/amd64 | darwin/arm64 | windows/amd64 | freebsd/amd64) true ;;
    *) false ;;
  esac
}

# cuda_headers: prints the directory of cuda.h, from the pinned wheel in cuda/requirements.txt.
cuda_headers() {
  local key home fresh
  key=$(cksum <cuda/requirements.txt | cut -d' ' -f1)
  home=$PWD/.cache/cuda-headers-$key
  if [ ! -d "$home" ]; then
    say "fetching the CUDA headers (3.5 MB, once)" >&2
    mkdir -p .cache
    fresh=$(mktemp -d "$PWD/.cache/headers.XXXXXX")
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --no-compile \
      --only-binary=:all: --require-hashes --target "$fresh/wheel" -r cuda/requirements.txt >&2
    mv "$fresh/wheel/nvidia/cuda_runtime/include" "$home"
    rm -rf "$fresh"
  fi
  printf '%s\n' "$home"
}

# cuda_lacks: what tag cuda needs and this machine lacks; empty if nothing. Headers at hand need no python3.
cuda_lacks() {
  local cc
  cc=$(go env CC)
  if [ "$(go env GOOS)/$(go env GOARCH)" != linux/amd64 ]; then
    printf 'the CUDA build is for linux/amd64, this is %s/%s' "$(go env GOOS)" "$(go env GOARCH)"
  elif ! command -v "${cc%% *}" >/dev/null; then
    printf 'it needs a C compiler, and %s is not installed' "$cc"
  elif ! command -v python3 >/dev/null; then
    printf 'it needs python3 with pip, which fetches cuda.h, and that is not installed'
  fi
}

# test_cuda HEADERS: the CUDA backend on the fake driver, and the same program without one.
test_cuda() {
  local headers=$1 fake=$PWD/.cache/fakecuda/libcuda.so.1
  export CGO_ENABLED=1 CGO_CFLAGS="${CGO_CFLAGS-} -I$headers" CUDA_DRIVER_LIB=$fake
  # The outcome depends on the fake driver, which go test does not see.
  local -a gotest=(go test -count=1 -timeout 30m -tags cuda)

  say "generated CUDA shim"
  python3 cuda/gen_shim.py "$headers" cuda/symbols.txt | cmp - cuda/shim.c ||
    refuse "test: cuda/shim.c is not what cuda/gen_shim.py writes from $headers and cuda/symbols.txt"
  say "vet and test with tag cuda, without a driver"
  go vet -tags cuda . ./cmd/cambium ./bench ./cuda/...
  CUDA_DRIVER_LIB=/nowhere/libcuda.so.1 CAMBIUM_REQUIRE='' "${gotest[@]}" . ./cmd/cambium
  say "CUDA backend on the fake driver"
  cuda/fakecuda/driver/build.sh "$headers" "$fake"
  "${gotest[@]}" -coverpkg=./cuda -coverprofile=.cache/cuda-coverage.out ./cuda/...
  "${gotest[@]}" -run CUDA .
  say "rehearsal of dist/gpu on the fake driver"
  CAMBIUM_GPU=1 CAMBIUM_TWINS=$fake.twins CAMBIUM_TWINS_WRITE=yes "${gotest[@]}" -run 'TestDeviceTwins$' ./cuda
  CAMBIUM_GPU=1 CAMBIUM_TWINS=$fake.twins "${gotest[@]}" -run 'TestDevice(Twins|Determinism|Memory)$' ./cuda
  say "CUDA backend on the fake driver, race detector"
  "${gotest[@]}" -race -short -skip Conformance ./cuda/...
  "${gotest[@]}" -race -run 'TestConformance/suite/(Determinism|Lifecycle|Cancellation)$' ./cuda
  say "CUDA backend on the fake driver, AddressSanitizer"
  cuda/fakecuda/driver/build.sh --sanitize "$headers" "$fake.asan"
  CUDA_DRIVER_LIB=$fake.asan ASAN_OPTIONS=detect_leaks=0 "${gotest[@]}" -asan -short -skip Conformance ./cuda/...
}

cmd_test() {
  local lacks
  [ $# -eq 0 ] || refuse "test takes no arguments; for one package use go test"
  say "go build, vet and test, CGO_ENABLED=0"
  CGO_ENABLED=0 go build ./...
  CGO_ENABLED=0 go vet ./...
  CGO_ENABLED=0 go test -timeout 30m ./...

  if ! race_supported; then
    not_here "race detector" "Go has none for $(go env GOOS)/$(go env GOARCH)"
  elif c_compiler; then
    say "race detector, short shapes"
    # The groups left out do their arithmetic at every size, for a quarter of an hour under the detector; Determinism,
    # Cancellation and Lifecycle run the same operations on several workers and from several callers.
    CGO_ENABLED=1 go test -race -short -timeout 30m -skip 'FallbackConformance|OrderOfLayers|TestConformance/generic/(Gram|Matmul|Center|HSIC|HSICMatrix|RBF|Rotation|LowRank|ApplyAdapters|SVD|LayerOps|Arguments|Propagation|Convert|Batches|Huge)$' ./...
  else
    left_out "race detector" "it needs a C compiler, and $(go env CC) is not installed"
  fi

  if [ "$(uname -s)" != Linux ]; then
    not_here "CUDA kernels on the host emulation" "its fibers and scripts are for Linux"
  elif command -v "${CXX:-g++}" >/dev/null; then
    say "CUDA kernels on the host emulation, plain and with sanitizers"
    kernels/emu/test.sh
    kernels/emu/test.sh --sanitize
  else
    left_out "CUDA kernels on the host emulation" "it needs a C++ compiler, and ${CXX:-g++} is not installed"
  fi
  lacks=$(cuda_lacks)
  [ -n "$lacks" ] || command -v "${CXX:-g++}" >/dev/null || lacks="it needs a C++ compiler, and ${CXX:-g++} is not installed"
  if [ -z "$lacks" ]; then
    (test_cuda "$(cuda_headers)")
  else
    left_out "CUDA backend on the fake driver" "$lacks"
  fi
  notes+=("elsewhere: file formats against the Python packages: ./build.sh interop, which needs python3 and the network")
  finish_notes
  say "test: passed"
}

cmd_ci() {
  [ $# -eq 0 ] || refuse "ci takes no arguments"
  exec .ci/run
}

golangci() {
  local dir=$tools/golangci-lint-$golangci_version
  if [ ! -x "$dir/golangci-lint" ]; then
    say "installing golangci-lint $golangci_version into .cache/tools (once, some minutes)" >&2
    GOBIN=$dir GOFLAGS='' CGO_ENABLED=0 \
      go install "github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$golangci_version"
  fi
  "$dir/golangci-lint" "$@"
}

# clang_format FLAGS FILES: the pinned one; another version formats otherwise.
clang_format() {
  local dir=$tools/clang-format-$clang_format_version
  if [ ! -d "$dir" ]; then
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --only-binary=:all: \
      --target "$dir" "clang-format==$clang_format_version"
  fi
  "$dir/clang_format/data/bin/clang-format" "$@"
}

cmd_lint() {
  [ $# -eq 0 ] || refuse "lint takes no arguments"
  local stray lacks headers
  export CGO_ENABLED=0 # the plain build has no cgo; the tag cuda brings it back below

  golangci config verify
  say "golangci-lint"
  golangci run ./...
  lacks=$(cuda_lacks)
  if [ -z "$lacks" ]; then
    headers=$(cuda_headers)
    say "golangci-lint, tag cuda"
    CGO_ENABLED=1 CGO_CFLAGS="-I$headers" golangci run --build-tags cuda ./...
  else
    left_out "golangci-lint with tag cuda" "$lacks"
  fi

  # run sees the files of one platform; formatting is checked on all of them.
  say "gofumpt and gci"
  golangci fmt --diff

  say "cgo only in cuda and capi"
  stray=$(grep -rlE --include='*.go' '^[[:space:]]*(import[[:space:]]+)?"C"' . | grep -vE '^\./(cuda|capi|\.cache)/' || true)
  if [ -n "$stray" ]; then
    printf 'cgo outside cuda and capi:\n%s\n' "$stray" >&2
    exit 1
  fi

  if command -v python3 >/dev/null && python3 -m pip --version >/dev/null 2>&1; then
    say "clang-format"
    find kernels cuda/fakecuda -name '*.cu' -o -name '*.cuh' -o -name '*.h' -o -name '*.cc' | sort >"$tools/device-sources"
    clang_format --dry-run --Werror --files="$tools/device-sources"
  else
    left_out clang-format "python3 with pip, which fetches it, is not installed"
  fi

  if command -v shellcheck >/dev/null; then
    say "shellcheck"
    shellcheck build.sh .ci/run kernels/emu/test.sh cuda/fakecuda/driver/build.sh bench/gpu/run.sh
  else
    left_out shellcheck "it is not installed"
  fi
  finish_notes
  say "lint: passed"
}

# bench_packages DIR: the packages below DIR/bench that have test files, as paths relative to DIR.
bench_packages() {
  [ -d "$1/bench" ] || return 0
  (cd "$1" && go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.Dir}}{{end}}' ./bench/... | while read -r dir; do
    printf '%s\n' ".${dir#"$PWD"}"
  done)
}

# Everything that --against leaves behind if it is interrupted.
scratch=
remove_scratch() {
  if [ -n "$scratch" ]; then
    git worktree remove --force "$scratch/tree" 2>/dev/null || true
    rm -rf "$scratch"
  fi
}

cmd_bench() {
  local against='' rounds=10 packages
  local -a flags=()
  while [ $# -gt 0 ]; do
    case $1 in
      --against) [ $# -ge 2 ] || refuse "bench: --against needs a revision"; against=$2; shift ;;
      --against=*) against=${1#*=} ;;
      --rounds) [ $# -ge 2 ] || refuse "bench: --rounds needs a number"; rounds=$2; shift ;;
      --rounds=*) rounds=${1#*=} ;;
      -*) flags+=("$1") ;;
      *) refuse "bench: unexpected argument $1 (flags of go test are written -name=value, such as -bench=Gram)" ;;
    esac
    shift
  done
  [[ $rounds =~ ^[1-9][0-9]*$ ]] || refuse "bench: --rounds $rounds is not a positive number"
  packages=$(bench_packages "$PWD")
  [ -n "$packages" ] || refuse "bench: this revision has no benchmarks below bench/"

  if [ -n "$against" ]; then
    bench_against "$against" "$rounds" "$packages" ${flags[@]+"${flags[@]}"}
    return
  fi
  # shellcheck disable=SC2086 # a list of package paths
  CGO_ENABLED=0 go test -run='^$' -bench=. -timeout 0 ${flags[@]+"${flags[@]}"} $packages
}

# bench_against REV ROUNDS PACKAGES FLAGS...: both binaries are built first and then run in turns, so that a machine that
# slows down over minutes slows both down alike.
bench_against() {
  local rev=$1 rounds=$2 packages=$3 commit out name package side round flag shared=''
  shift 3
  commit=$(git rev-parse --verify --quiet "$rev^{commit}") || refuse "bench: $rev is not a revision of this repository"
  local -a flags=()
  for flag in "$@"; do
    flag=${flag#-}
    flags+=("-test.${flag#-}")
  done

  scratch=$(mktemp -d)
  trap remove_scratch EXIT
  trap 'exit 130' INT TERM
  git worktree add --quiet --detach "$scratch/tree" "$commit"
  out=$(mktemp -d)

  for package in $packages; do
    name=$(printf '%s' "${package#./}" | tr / -)
    if [ ! -d "$scratch/tree/$package" ]; then
      printf 'not in %s, left out: %s\n' "$rev" "$package"
      continue
    fi
    say "building $package: $rev and this tree"
    (cd "$scratch/tree" && CGO_ENABLED=0 go test -c -o "$scratch/old-$name" "$package")
    CGO_ENABLED=0 go test -c -o "$scratch/new-$name" "$package"
    if [ -e "$scratch/old-$name" ] && [ -e "$scratch/new-$name" ]; then
      shared="$shared $package"
    fi
  done
  [ -n "$shared" ] || refuse "bench: $rev and this tree have no benchmarks in common"
  [ -z "$(git status --porcelain)" ] || printf 'this tree has changes that are not committed; they are measured too\n'

  for ((round = 1; round <= rounds; round++)); do
    say "round $round of $rounds"
    for package in $shared; do
      name=$(printf '%s' "${package#./}" | tr / -)
      for side in old new; do
        local tree=$PWD
        [ "$side" = new ] || tree=$scratch/tree
        (cd "$tree/$package" && "$scratch/$side-$name" -test.run='^$' -test.bench=. -test.timeout=0 \
          ${flags[@]+"${flags[@]}"} -test.count=1) >>"$out/$side.txt"
      done
    done
  done
  printf 'old (%s): %s\nthis tree: %s\n' "$rev" "$out/old.txt" "$out/new.txt"
  go run "golang.org/x/perf/cmd/benchstat@$perf_version" "$rev=$out/old.txt" "this tree=$out/new.txt"
}

# Built first: go run would turn every failure of the tool into exit code 1.
cmd_mutate() {
  [ -d internal/mutate ] || refuse "mutate: this revision has no mutation tool (internal/mutate)"
  [ $# -gt 0 ] || refuse "mutate: name the packages to mutate, such as ./kernels ./cpu"
  CGO_ENABLED=0 go build -o "$tools/mutate" ./internal/mutate
  "$tools/mutate" "$@"
}

# fuzz_one TARGET PACKAGE SECONDS: go test may end a run in which nothing failed with "context deadline exceeded", when the time
# is up while a worker is busy. Such a run is done again; one that wrote a failing input is not.
fuzz_one() {
  local out try
  for try in 1 2 3; do
    if out=$(go test -run='^$' -fuzz="^$1\$" -fuzztime="$3s" -fuzzminimizetime=1x "$2" 2>&1); then
      printf '%s\n' "$out" | tail -n 2
      return
    fi
    printf '%s\n' "$out"
    if [[ $out != *"context deadline exceeded"* || $out == *"Failing input written"* ]]; then
      return 1
    fi
    printf 'the time was up in the middle of an input: try %d of 3\n' "$try"
  done
  return 1
}

cmd_fuzz() {
  local seconds=${1-60} listing line package count=0
  local -a pending=()
  if [ $# -gt 1 ] || ! [[ $seconds =~ ^[1-9][0-9]*$ ]]; then
    refuse "fuzz [SECONDS]: one whole number, the seconds for each target"
  fi
  export CGO_ENABLED=0
  listing=$(go test -list '^Fuzz' ./...)
  # go test prints a package's targets first and then its "ok" line.
  while read -r line; do
    case $line in
      Fuzz*) pending+=("$line") ;;
      ok*)
        package=$(printf '%s\n' "$line" | awk '{print $2}')
        for target in ${pending[@]+"${pending[@]}"}; do
          say "fuzz $target in $package for $seconds s"
          fuzz_one "$target" "$package" "$seconds"
          count=$((count + 1))
        done
        pending=()
        ;;
    esac
  done <<<"$listing"
  if [ "$count" -eq 0 ]; then
    say "fuzz: this revision has no fuzz targets"
  else
    say "fuzz: $count targets passed"
  fi
}

cmd_release() {
  [ $# -eq 0 ] || refuse "release takes no arguments; the version is git's"
  [ -d cmd/cambium ] || refuse "release: this revision has no command (cmd/cambium)"
  local version target goos goarch suffix name
  local -a built=()
  version=$(git describe --tags --always --dirty)
  rm -rf dist
  mkdir dist
  for target in linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64; do
    goos=${target%/*} goarch=${target#*/} suffix=''
    [ "$goos" != windows ] || suffix=.exe
    name=cambium-$version-$goos-$goarch$suffix
    say "$name"
    CGO_ENABLED=0 GOOS=$goos GOARCH=$goarch go build -trimpath -buildvcs=auto -o "dist/$name" ./cmd/cambium
    built+=("$name")
  done
  if command -v sha256sum >/dev/null; then
    (cd dist && sha256sum "${built[@]}" >SHA256SUMS)
  else
    (cd dist && shasum -a 256 "${built[@]}" >SHA256SUMS)
  fi
  cat dist/SHA256SUMS
}

cmd_kernels() {
  local arg
  for arg in "$@"; do
    [ "$arg" = --check ] || refuse "kernels [--check]: unexpected argument $arg"
  done
  command -v python3 >/dev/null || refuse "kernels: python3 with pip, which fetches the compiler, is not installed"
  python3 kernels/build/kernels.py "$@"
}

# The bundle must fit where files are carried by hand.
gpu_limit=$((64 << 20))

# cmd_gpu: dist/gpu for a machine with a GPU and no Go. What the twins should give is found out here, on the emulation.
cmd_gpu() {
  [ $# -eq 0 ] || refuse "gpu takes no arguments"
  local lacks headers fake=$PWD/.cache/fakecuda/libcuda.so.1 out=$PWD/dist/gpu size
  lacks=$(cuda_lacks)
  [ -n "$lacks" ] || command -v "${CXX:-g++}" >/dev/null || lacks="it needs a C++ compiler, and ${CXX:-g++} is not installed"
  [ -z "$lacks" ] || refuse "gpu: $lacks"
  headers=$(cuda_headers)
  export CGO_ENABLED=1 CGO_CFLAGS="${CGO_CFLAGS-} -I$headers" CGO_LDFLAGS="-L$PWD/cuda/lib ${CGO_LDFLAGS-}"
  rm -rf "$out" "$out.tar.gz"
  mkdir -p "$out"
  say "cambium, cuda.test, bench.test"
  go build -trimpath -tags cuda -ldflags=-s -o "$out/cambium" ./cmd/cambium
  go test -trimpath -tags cuda -ldflags=-s -c -o "$out/cuda.test" ./cuda
  go test -trimpath -tags cuda -ldflags=-s -c -o "$out/bench.test" ./bench
  say "twins.json, from the emulation"
  cuda/fakecuda/driver/build.sh "$headers" "$fake"
  CUDA_DRIVER_LIB=$fake CAMBIUM_GPU=1 CAMBIUM_TWINS=$out/twins.json CAMBIUM_TWINS_WRITE=1 "$out/cuda.test" -test.run '^TestDeviceTwins$'
  cp bench/gpu/run.sh bench/gpu/peers.py bench/gpu/ratios.py bench/results/gpu/README.md LICENSE "$out"
  git log -1 --format='commit %H, %cI' >"$out/commit"
  [ -z "$(git status --porcelain)" ] || echo "with changes that are not committed" >>"$out/commit"
  tar -C dist -czf "$out.tar.gz" gpu
  size=$(du -sb "$out" | cut -f1)
  printf 'dist/gpu: %d bytes of at most %d\n' "$size" "$gpu_limit"
  [ "$size" -le "$gpu_limit" ] || refuse "gpu: the bundle is too large"
}

cmd_cuda() {
  local lacks headers
  lacks=$(cuda_lacks)
  [ -z "$lacks" ] || refuse "cuda: $lacks"
  headers=$(cuda_headers)
  if [ "${1-}" = --headers ] && [ $# -eq 1 ]; then
    printf '%s\n' "$headers"
    return
  fi
  [ $# -eq 0 ] || refuse "cuda [--headers]: unexpected argument $1"
  say "bin/cambium with the CUDA backend"
  # cu asks for -lcuda; the shim in cuda/ stands in for it, also where a real libcuda.so lies on the linker's path.
  CGO_ENABLED=1 CGO_CFLAGS="${CGO_CFLAGS-} -I$headers" CGO_LDFLAGS="-L$PWD/cuda/lib ${CGO_LDFLAGS-}" \
    go build -trimpath -tags cuda -o bin/cambium ./cmd/cambium
  bin/cambium devices
}

# python_with REQUIREMENTS: prints the interpreter of an environment with exactly these packages, made on first use.
python_with() {
  local dir
  dir=$PWD/.cache/python-$(git hash-object "$1" | cut -c1-12)
  if [ ! -x "$dir/bin/python" ] || [ ! -e "$dir/complete" ]; then
    rm -rf "$dir"
    python3 -m venv "$dir" >&2
    "$dir/bin/pip" install --quiet --disable-pip-version-check -r "$1" >&2
    touch "$dir/complete"
  fi
  printf '%s\n' "$dir/bin/python"
}

cmd_interop() {
  [ $# -eq 0 ] || refuse "interop takes no arguments"
  local python
  command -v python3 >/dev/null || refuse "interop: it compares with Python packages, and python3 is not installed"
  say "safetensors against the reference reader"
  python=$(python_with weights/testdata/requirements.txt)
  CGO_ENABLED=0 CAMBIUM_INTEROP=1 CAMBIUM_PYTHON=$python go test -count=1 -run Interop ./weights
}

command=${1-}
[ $# -eq 0 ] || shift
case $command in
  test) cmd_test "$@" ;;
  ci) cmd_ci "$@" ;;
  lint) cmd_lint "$@" ;;
  bench) cmd_bench "$@" ;;
  mutate) cmd_mutate "$@" ;;
  fuzz) cmd_fuzz "$@" ;;
  release) cmd_release "$@" ;;
  kernels) cmd_kernels "$@" ;;
  cuda) cmd_cuda "$@" ;;
  gpu) cmd_gpu "$@" ;;
  interop) cmd_interop "$@" ;;
  help | -h | --help) usage ;;
  '')
    usage >&2
    exit 2
    ;;
  *)
    printf 'build.sh: no command %s\n\n' "$command" >&2
    usage >&2
    exit 2
    ;;
esac
