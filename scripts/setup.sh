# Sourced by the other scripts: goes to the checkout and makes sure that .venv has what it needs.
# shellcheck shell=bash

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
VENV="$PWD/.venv"

fail() {
  printf '%s\n' "$@" >&2
  exit 1
}

# find_python [everybody]: print the first Python that is new enough; a pyenv shim without a version
# behind it is not, nor, for everybody, one below /root.
find_python() {
  local name
  for name in "${PYTHON:-python3}" python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null &&
      { [ "${1:-}" != everybody ] || runs_for_everybody "$name"; }; then
      command -v "$name"
      return 0
    fi
  done
  return 1
}

# Whether a user without any rights can run a Python: the one that a virtual environment is made of.
runs_for_everybody() {
  local behind
  behind=$("$1" -c 'import sys; print(sys._base_executable)')
  # By a shell, as setpriv itself still may everything.
  (cd / && setpriv --reuid 65534 --regid 65534 --clear-groups sh -c '"$0" -c ""' "$behind") 2>/dev/null
}

# make_venv [everybody]: of a Python that everybody may run. It has a pip of its own only if that
# Python has none that can install into it: to put it there takes as long as to install kei.
# Debian splits that off into python3-venv: get it if need be.
make_venv() {
  local python
  python=$(find_python "${1:-}") || fail \
    "kei needs Python 3.11 or newer${1:+, and one that $1 may run}; on Debian and Raspberry Pi OS:" \
    "  sudo apt install python3 python3-venv"
  "$python" -m venv --clear --without-pip "$VENV" 2>/dev/null && venv_pip --version >/dev/null 2>&1 && return 0
  "$python" -m venv --clear "$VENV" >/dev/null 2>&1 && return 0
  local root=""
  [ "$(id -u)" = 0 ] || root="sudo -n"
  if command -v apt-get >/dev/null; then
    echo "setting up: installing the Debian package python3-venv" >&2
    { $root apt-get install -y python3-venv || { $root apt-get update && $root apt-get install -y python3-venv; }; } \
      >/dev/null 2>&1 || true
  fi
  "$python" -m venv --clear "$VENV" >/dev/null 2>&1 || {
    rm -rf "$VENV"
    fail "cannot make a virtual environment; on Debian and Raspberry Pi OS, do this and try again:" \
      "  sudo apt install python3-venv"
  }
}

# venv_pip ARGUMENTS: run pip for VENV: its own, or that of the Python that it is made of (22.3 or newer).
venv_pip() {
  local base
  if [ -x "$VENV/bin/pip" ]; then
    "$VENV/bin/python" -m pip --disable-pip-version-check "$@"
  else
    base=$("$VENV/bin/python" -c 'import sys; print(sys._base_executable)')
    "$base" -m pip --python "$VENV/bin/python" --disable-pip-version-check "$@"
  fi
}

# ensure_venv WHAT: WHAT is ".", or ".[dev]" with extras. Does nothing when that was installed from
# this very pyproject.toml before, so that it needs no network then.
ensure_venv() {
  local stamp="$VENV/.installed-${1//[^a-z]/}" want
  if ! "$VENV/bin/python" -c '' 2>/dev/null; then
    echo "setting up: making $VENV" >&2
    make_venv
  fi
  want="$(cksum <pyproject.toml) $("$VENV/bin/python" -V) $PWD"
  [ "$(cat "$stamp" 2>/dev/null)" = "$want" ] && return 0
  # What the tests need is more than what kei needs.
  [ "$1" != '.[dev]' ] && [ "$(cat "$VENV/.installed-dev" 2>/dev/null)" = "$want" ] && return 0
  echo "setting up: installing what kei needs (the first time takes a minute)" >&2
  if venv_pip install -q -e "$1"; then
    printf '%s' "$want" >"$stamp"
  elif [ -e "$stamp" ]; then
    echo "setting up: could not bring .venv up to date (no network?), going on with what is there" >&2
  else
    fail "could not install what kei needs; is there a network?"
  fi
}
