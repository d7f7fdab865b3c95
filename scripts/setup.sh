#!/usr/bin/env bash
# Make the development environment in .venv: system libraries (Debian, Ubuntu), then Python packages.
# Called by `make setup`. PYTHON chooses the interpreter, EXTRAS the optional dependencies and
# SYSTEM=skip leaves the system libraries alone (where they have other names than Debian's).
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3}
EXTRAS=${EXTRAS:-all,test,dev}
SYSTEM=${SYSTEM:-install}

# A virtual display, software OpenGL and what Qt's xcb platform plugin loads.
LIBRARIES=(
  xvfb xauth libgl1 libegl1 libopengl0 libglx-mesa0 libgl1-mesa-dri libxkbcommon-x11-0
  libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0 libxcb-render-util0
  libxcb-shape0 libxcb-xinerama0 libxcb-xkb1 libdbus-1-3 libfontconfig1 libxi6 libsm6
  fonts-dejavu-core
)

say() { printf '==> %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

installed() { dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'install ok installed'; }

apt_install() {
  say "Installing with apt: $*"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

system_packages() {
  [ "$SYSTEM" = skip ] && return
  command -v dpkg-query >/dev/null || return 0
  local missing=() package
  for package in "${LIBRARIES[@]}"; do
    installed "$package" || missing+=("$package")
  done
  # Debian's Python comes without the module that makes environments.
  "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
  [ ${#missing[@]} -eq 0 ] && return
  if [ "$(id -u)" -ne 0 ]; then
    die "missing system packages; run: sudo apt-get install ${missing[*]}   (or make setup SYSTEM=skip)"
  fi
  apt_install "${missing[@]}"
}

python_environment() {
  "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    die "$PYTHON is older than 3.11; name a newer one: make setup PYTHON=python3.12"
  if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    say "Making .venv with $("$PYTHON" --version)"
    "$PYTHON" -m venv --clear .venv
  fi
  .venv/bin/python -m pip install -qq --upgrade pip
  say "Installing napari-pathseg[$EXTRAS]: PyTorch is large, this takes some minutes"
  # torch and torchvision in the same command, so that pip takes both from one build.
  .venv/bin/python -m pip install --progress-bar off -qq --editable ".[$EXTRAS]" torch torchvision
  .venv/bin/python -c 'import torch, torchvision' ||
    die "torch and torchvision are of different builds; run: rm -r .venv && make setup"
}

command -v "$PYTHON" >/dev/null || {
  [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null && apt_install python3 python3-venv
}
command -v "$PYTHON" >/dev/null || die "no $PYTHON on the path; install Python 3.11 or newer"
system_packages
python_environment
say "Ready: .venv/bin/pathseg, .venv/bin/napari"
