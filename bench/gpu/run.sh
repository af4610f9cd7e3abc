#!/usr/bin/env bash
# Runs what was built by ./build.sh gpu on a machine with an NVIDIA GPU, without Go.
#
#   ./run.sh                     all stages in order
#   ./run.sh twins suite         these alone
#
# Stages: twins suite determinism sanitizer memory illegal bench. Each has a time limit in minutes,
# which LIMIT=n replaces. A stage that fails or is cut off does not keep the others from running.
# Everything goes to one log, results/<date>-<host>.log, and the benchmarks to a table beside it.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")" || exit

all=(twins suite determinism sanitizer memory illegal bench)
stages=("$@")
[ ${#stages[@]} -gt 0 ] || stages=("${all[@]}")
for stage in "${stages[@]}"; do
  case " ${all[*]} " in
    *" $stage "*) ;;
    *)
      printf 'run.sh: no stage %s (there are: %s)\n' "$stage" "${all[*]}" >&2
      exit 2
      ;;
  esac
done

mkdir -p results
name=results/$(date -u +%Y%m%dT%H%M%SZ)-$(uname -n)
log=$name.log
export CAMBIUM_GPU=1
failed=0
summary=()

machine() {
  cat commit
  date -u
  uname -srm
  ./cambium devices
  nvidia-smi --query-gpu=name,driver_version,vbios_version,pstate,clocks.sm,clocks.mem,clocks.max.sm,power.draw,power.limit,temperature.gpu,ecc.mode.current,mig.mode.current \
    --format=csv || echo "nvidia-smi is not there: clocks and power are not known"
}

# test_run PATTERN: tests of package cuda by name, one after another.
test_run() { ./cuda.test -test.v -test.timeout=0 -test.run "$1"; }

stage_twins() { CAMBIUM_TWINS=twins.json test_run '^TestDeviceTwins$'; }
stage_suite() { test_run '^TestDeviceConformance$'; }
stage_determinism() { test_run '^TestDeviceDeterminism$'; }
stage_memory() { test_run '^TestDeviceMemory$'; }
stage_illegal() { test_run '^TestDeviceIllegal$'; }

# Shapes of a few tiles: the tools slow a kernel down a hundredfold.
stage_sanitizer() {
  local tool rc=0
  command -v compute-sanitizer >/dev/null || {
    echo "compute-sanitizer is not installed"
    return 3
  }
  for tool in memcheck racecheck initcheck synccheck; do
    printf -- '-- %s\n' "$tool"
    compute-sanitizer --tool "$tool" --error-exitcode 9 \
      ./cuda.test -test.timeout=0 -test.run '^TestDeviceTwins$|^TestDeviceConformance$/^(Memory|Propagation)$' || rc=$?
  done
  return "$rc"
}

stage_bench() {
  local peers=0
  ./bench.test -test.run='^$' -test.bench='^BenchmarkCUDA' -test.benchtime=1s -test.count=5 -test.timeout=0 >"$name.bench"
  local rc=$?
  cat "$name.bench"
  python3 peers.py "$name.peers" || peers=$?
  [ "$peers" -eq 0 ] || echo "peers: left out or failed (exit code $peers)"
  python3 ratios.py "$name.bench" "$name.peers" | tee "$name.md"
  machine | tail -n 2 # clocks and power after the load
  return "$rc"
}

declare -A limit=([twins]=2 [suite]=10 [determinism]=5 [sanitizer]=15 [memory]=5 [illegal]=2 [bench]=20)

# A stage runs in a shell of its own, which timeout can end.
if [ "${CAMBIUM_STAGE-}" != "" ]; then
  name=$CAMBIUM_NAME
  case $CAMBIUM_STAGE in
    twins) stage_twins ;;
    suite) stage_suite ;;
    determinism) stage_determinism ;;
    sanitizer) stage_sanitizer ;;
    memory) stage_memory ;;
    illegal) stage_illegal ;;
    bench) stage_bench ;;
  esac
  exit
fi

{
  machine
  for stage in "${stages[@]}"; do
    minutes=${LIMIT-${limit[$stage]}}
    printf '\n=== %s (at most %s minutes)\n' "$stage" "$minutes"
    begun=$SECONDS
    CAMBIUM_STAGE=$stage CAMBIUM_NAME=$name timeout --kill-after=20 "${minutes}m" ./run.sh "$stage"
    rc=$?
    case $rc in
      0) verdict=passed ;;
      3) verdict="left out" ;;
      124 | 137) verdict="cut off after $minutes minutes" failed=1 ;;
      *) verdict="FAILED ($rc)" failed=1 ;;
    esac
    summary+=("$(printf '%-12s %5d s  %s' "$stage" $((SECONDS - begun)) "$verdict")")
  done
  printf '\n=== summary\n'
  printf '%s\n' "${summary[@]}"
  printf '%s\n' "$failed" >"$name.failed"
} 2>&1 | tee "$log"
failed=$(cat "$name.failed")
rm -f "$name.failed"
printf 'log: %s\n' "$log"
exit "$failed"
