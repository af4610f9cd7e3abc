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
  cuda, gpu, interop       with the CUDA backend and the file formats

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

cmd_test() {
  [ $# -eq 0 ] || refuse "test takes no arguments; for one package use go test"
  say "go build, vet and test, CGO_ENABLED=0"
  CGO_ENABLED=0 go build ./...
  CGO_ENABLED=0 go vet ./...
  CGO_ENABLED=0 go test -timeout 30m ./...

  if ! race_supported; then
    not_here "race detector" "Go has none for $(go env GOOS)/$(go env GOARCH)"
  elif c_compiler; then
    say "race detector, short shapes"
    CGO_ENABLED=1 go test -race -short -timeout 30m ./...
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
  [ -d weights ] || not_here "file formats against the Python libraries" "there is no package weights yet"
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
  local stray
  export CGO_ENABLED=0 # the plain build has no cgo; the tag cuda brings it back below

  golangci config verify
  say "golangci-lint"
  golangci run ./...
  if [ -d cuda ]; then
    say "golangci-lint, tag cuda"
    CGO_ENABLED=1 golangci run --build-tags cuda ./...
  else
    not_here "golangci-lint with tag cuda" "there is no package cuda yet"
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
    find kernels -name '*.cu' -o -name '*.cuh' -o -name '*.h' -o -name '*.cc' | sort >"$tools/device-sources"
    clang_format --dry-run --Werror --files="$tools/device-sources"
  else
    left_out clang-format "python3 with pip, which fetches it, is not installed"
  fi

  if command -v shellcheck >/dev/null; then
    say "shellcheck"
    shellcheck build.sh .ci/run kernels/emu/test.sh
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
          go test -run='^$' -fuzz="^$target\$" -fuzztime="${seconds}s" "$package"
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

# Commands whose subject comes with a later part of the product. The sentence is about the tree as it is.
cmd_cuda_part() { refuse "$1: this revision has kernels/*.cu but no package cuda, so there is nothing to build"; }

cmd_interop() {
  if [ -d weights ]; then
    refuse "interop: package weights exists, but this build.sh has no comparison for it"
  fi
  refuse "interop: this revision reads and writes no file formats (no package weights), so there is nothing to compare"
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
  cuda | gpu) cmd_cuda_part "$command" ;;
  interop) cmd_interop ;;
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
