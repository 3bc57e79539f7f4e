#!/usr/bin/env bash
# Everything that a machine with a GPU can tell about this project, in one run and without network:
# the table of backends, the test suite, a training, the time of each kernel of a step, memory, peers,
# rendering times, fused rendering under Vulkan on the same card.
#
#   benchmarks/gpu_check.sh --wheels DIR [--lego DIR] [--out DIR] [--backend cuda] [--max_steps 20000]
#   benchmarks/gpu_check.sh --backend cpu --quick          a rehearsal on any machine, in minutes
#
#   --wheels DIR     wheels of taichi and of what else is missing, as `pip download taichi pillow tqdm
#                    pytest hypothesis -d DIR` leaves them; left out: all is installed already
#   --lego DIR       the NeRF-synthetic lego scene; left out: the built-in demo scene
#   --out DIR        where the report goes (gpu_report): report.md, report.json, and logs/ of all parts
#   --backend NAME   cuda, vulkan or cpu
#   --max_steps N    of the training
#   --seconds N      of the training at most (60)
#   --quick          20 steps at a quarter of the size, and the tests of ops alone
#
# Needs Python 3.10 to 3.13 with torch (PYTHON chooses the interpreter, python3 by default). All
# parts run even if one fails; the exit status is then 1, and 2 for a wrong command line.
set -uo pipefail
caller=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2

# Paths are relative to where the script was called.
from_caller() { case $1 in /*) echo "$1" ;; *) echo "$caller/$1" ;; esac; }
wheels= lego= out=$(from_caller gpu_report) backend=cuda max_steps=20000 seconds=60 quick=
usage_error() { echo "error: $*; the head of benchmarks/gpu_check.sh lists the flags" >&2; exit 2; }
while [ $# -gt 0 ]; do
  case $1 in
    --quick) quick=1; shift; continue ;;
    --wheels | --lego | --out | --backend | --max_steps | --seconds) [ $# -ge 2 ] || usage_error "$1 needs a value" ;;
    *) usage_error "unknown flag $1" ;;
  esac
  case $1 in
    --wheels) wheels=$(from_caller "$2") ;; --lego) lego=$(from_caller "$2") ;; --out) out=$(from_caller "$2") ;;
    --backend) backend=$2 ;; --max_steps) max_steps=$2 ;; --seconds) seconds=$2 ;;
  esac
  shift 2
done
case $backend in cuda | vulkan | cpu) ;; *) usage_error "--backend $backend: cuda, vulkan or cpu" ;; esac
for folder in "$wheels" "$lego"; do
  [ -z "$folder" ] || [ -d "$folder" ] || usage_error "$folder: no such folder"
done
[ -z "$quick" ] || max_steps=20
python=${PYTHON:-python3}
case $python in */*) python=$(from_caller "$python") ;; esac
"$python" -c 'import torch' 2>/dev/null || usage_error "$python does not run or has no torch: set PYTHON"
mkdir -p "$out/logs" || exit 2
out=$(cd "$out" && pwd)
# What an earlier run left must not be taken for this one's.
rm -f "$out"/parts.tsv "$out"/report.* "$out"/logs/*.log "$out"/training/{metrics.json,checkpoint.pth}

# part NAME COMMAND…: run it, keep its output, note how it ended and how long it took.
part() {
  local name=$1 start=$SECONDS status=0
  shift
  printf '\n=== %s: %s\n' "$name" "$*"
  "$@" >"$out/logs/$name.log" 2>&1 || status=$?
  printf '%s\t%s\t%s\t%s\n' "$name" "$status" "$((SECONDS - start))" "$*" >>"$out/parts.tsv"
  tail -n 4 "$out/logs/$name.log"
  return "$status"
}

# An environment of the wheels that sees the interpreter's own packages, torch's above all, even
# where that interpreter is a virtual environment's too.
make_environment() {
  "$python" -m venv --system-site-packages "$environment" || {
    # Debian keeps ensurepip in a package of its own; the interpreter's pip does as well.
    "$python" -m venv --clear --without-pip --system-site-packages "$environment" &&
      pip=("$python" -m pip --python "$environment/bin/python")
  } || return
  "$python" -c 'import sys; print(*sys.path, sep="\n")' | "$environment/bin/python" -c '
import pathlib, sys, sysconfig
folders = [path for path in sys.stdin.read().splitlines() if path.endswith("-packages")]
lines = (f"import site; site.addsitedir({folder!r})\n" for folder in folders)
pathlib.Path(sysconfig.get_path("purelib"), "interpreter.pth").write_text("".join(lines))'
}

if [ -n "$wheels" ]; then
  environment=$(mktemp -d)
  trap 'rm -rf "$environment"' EXIT
  pip=("$environment/bin/python" -m pip)
  part environment make_environment || exit 1
  part install "${pip[@]}" install --no-index --find-links "$wheels" \
    'taichi>=1.7.4,<1.8' pillow tqdm pytest hypothesis || exit 1
  python=$environment/bin/python
fi
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}

part backends "$python" -m taichi_pynerf.runtime
part starts "$python" -c "from taichi_pynerf import runtime; runtime.start('$backend'); print(runtime.device_name())"
tests=(tests)
[ -z "$quick" ] || tests=(tests/ops)
part tests "$python" -m pytest --durations=10 "${tests[@]}"
training=(--backend "$backend" --max_steps "$max_steps" --max_seconds "$seconds" --output_dir "$out" --experiment_name training)
[ -z "$lego" ] || training+=(--data_dir "$lego")
[ -z "$quick" ] || training+=(--img_downscale 4)
part training "$python" apps/train.py "${training[@]}"
part rendering "$python" -m benchmarks.fused_render --checkpoint "$out/training" --backend "$backend" \
  --repeats 3 --scale "$([ -z "$quick" ] && echo 1 || echo 8)"
part steps "$python" -m benchmarks.vulkan_step --other "$backend" --steps "$([ -z "$quick" ] && echo 64 || echo 4)"
measure=("$python" -m benchmarks --backend "$backend" --checkpoint "$out/training")
[ -z "$quick" ] || measure+=(--quick)
part kernels "${measure[@]}" train_step  # beside peers, where these are installed
part encoding "${measure[@]}" encode
part memory "${measure[@]}" memory
# Fused rendering was made for cards that torch cannot use, and this one will do.
[ "$backend" != cuda ] || part vulkan "$python" -m benchmarks.fused_render --checkpoint "$out/training" \
  --backend vulkan --repeats 3 --scale "$([ -z "$quick" ] && echo 1 || echo 8)"
"$python" -m benchmarks.gpu_report "$out"
