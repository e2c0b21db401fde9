#!/bin/sh
# Makes .venv hold what requirements.lock says, hash by hash, and this project on top of it.
#
#   toolkit/bootstrap.sh setup    set up and say so; start afresh where an earlier set-up was cut short
#   toolkit/bootstrap.sh ensure   the same, silent when nothing is to be done (every Make target runs it)
#   toolkit/bootstrap.sh find     print the Python 3.9 that a set-up would use
#
# PYTHON=... names the interpreter. Without it: python3.9 and python3 on the PATH, pyenv's versions, uv's.
# Plain POSIX sh, since it runs before there is a Python to rely on.
set -eu

say() { printf '%s\n' "$*" >&2; }

die() {
    say "error: $1"
    shift
    for line in "$@"; do say "  $line"; done
    exit 1
}

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
cd -- "$root"

venv=.venv
stamp=$venv/.lock-sha256
log=$venv/setup.log

# Both would make pip see, and the set-up trust, packages that are not in .venv.
unset PYTHONPATH PYTHONHOME
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_USER=0

# ---------------------------------------------------------------------------- finding Python 3.9

# Prints the interpreter behind a candidate. Fails unless the candidate runs, is 3.9 and can make an environment:
# a pyenv shim is on the PATH even where no 3.9 is active, and Debian's python3.9 may lack venv.
# What it prints is never inside a virtual environment, since that may be the one about to be replaced.
probe() {
    "$1" -c '
import os, sys
if sys.version_info[:2] != (3, 9):
    sys.exit("it is Python %d.%d" % sys.version_info[:2])
import ensurepip, venv
base = os.path.join(sys.base_prefix, "bin", "python3.9")
print(base if sys.prefix != sys.base_prefix and os.access(base, os.X_OK) else sys.executable)
' </dev/null
}

candidates() {
    printf '%s\n' python3.9 python3
    for found in "${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/3.9*/bin/python; do
        printf '%s\n' "$found"
    done
    if command -v uv >/dev/null 2>&1; then
        UV_PYTHON_DOWNLOADS=never uv python find --no-project --system 3.9 2>/dev/null || :
    fi
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        if ! said=$(probe "$PYTHON" 2>&1); then
            say "error: PYTHON=$PYTHON cannot be used. It says:"
            printf '%s\n' "${said#*bootstrap.sh: *: }" | tail -n 10 | sed 's/^/  | /' >&2
            say "Paddle Serving needs Python 3.9 with its modules venv and ensurepip."
            say "Name another one, or leave PYTHON out to have one looked for."
            exit 1
        fi
        printf '%s\n' "$said"
        return
    fi
    candidates | {
        while IFS= read -r candidate; do
            if probe "$candidate" 2>/dev/null; then exit 0; fi
        done
        exit 1
    } || die "no Python 3.9 found (looked at python3.9 and python3 on the PATH, pyenv, uv)." \
        "Paddle Serving 0.9.0 has no packages for a newer one. Any of these installs it beside your other Pythons:" \
        "  pyenv install 3.9" \
        "  uv python install 3.9" \
        "  conda create --name python39 python=3.9    (then: make setup PYTHON=<its bin/python>)" \
        "  apt install python3.9 python3.9-venv       (Ubuntu, from ppa:deadsnakes/ppa)" \
        "Then run make again. An interpreter anywhere else: make setup PYTHON=/path/to/python3.9"
}

# ---------------------------------------------------------------------------- is there anything to do

digest() { cat "$@" | sha256sum | cut -d ' ' -f 1; }

# What the stamp must say for .venv to be trusted. It is written last, so a set-up that was cut short has none.
# The place is part of it because the scripts of a virtual environment do not survive a move.
wanted_lock() { printf 'lock %s\nplace %s\n' "$(digest requirements.lock)" "$root"; }
wanted_project() { printf 'project %s\n' "$(digest setup.cfg pyproject.toml)"; }

version_of() { "$1" -c 'import platform; print("python " + platform.python_version())' 2>/dev/null || :; }

has() { [ -r "$stamp" ] && [ -x "$venv/bin/python" ] && [ "$(sed -n "$1" "$stamp")" = "$2" ]; }

lock_installed() {
    has '1,2p' "$(wanted_lock)" && has 3p "$(version_of "$venv/bin/python")" || return 1
    [ -z "${PYTHON:-}" ] || has 3p "$(version_of "$python")"
}

project_installed() { has 4p "$(wanted_project)"; }

# ---------------------------------------------------------------------------- installing

# Reads the output of the long installation: everything into the log, its progress to the person who waits.
watch() {
    count=0
    total=$(grep -c '^[A-Za-z]' requirements.lock)
    step=25
    if [ -t 2 ]; then step=1; fi
    while IFS= read -r line; do
        printf '%s\n' "$line" >>"$log"
        case $line in
            Collecting\ *)
                count=$((count + 1))
                if [ $((count % step)) -eq 0 ]; then progress "fetching $count of $total packages"; fi
                ;;
            'Building wheels for'*) progress "building the few packages that have no wheel" ;;
            'Installing collected'*) progress "unpacking, the longest part" ;;
        esac
    done
    if [ -t 2 ]; then printf '\r\033[K'; fi
}

progress() {
    if [ -t 2 ]; then printf '\r\033[K  %s' "$1"; else printf '  %s\n' "$1"; fi
}

# Runs a command under a reader (`watch` or `keep`) and keeps its exit code, which a pipe alone would hide.
run() {
    reader=$1
    shift
    printf '\n$ %s\n' "$*" >>"$log"
    code=$({ { "$@" 2>&1 </dev/null 3>&- && echo 0 >&3 || echo $? >&3; } | "$reader" >&2; } 3>&1)
    printf 'exit code %s\n' "$code" >>"$log"
    [ "$code" = 0 ] || failed "$code"
}

keep() { cat >>"$log"; }

failed() {
    say "error: installing into $venv failed (exit code $1). The last lines of $log:"
    tail -n 15 "$log" | sed 's/^/  | /' >&2
    say "What to do: $(remedy)"
    say "Then run make setup again. Nothing of this attempt will be trusted."
    exit 1
}

remedy() {
    if grep -q 'DO NOT MATCH THE HASHES' "$log"; then
        echo "the package index served a file other than the one locked. Try again with pip's cache left out" \
            "(PIP_NO_CACHE_DIR=1); if that does not help, do not trust that index."
    elif grep -q 'No space left on device' "$log"; then
        echo "free some disk: the environment takes 2 GB."
    elif grep -q -e 'Connection' -e 'Temporary failure' -e 'timed out' -e 'ProxyError' "$log"; then
        echo "pip did not reach its package index. Check the network, the proxy, or PIP_INDEX_URL."
    elif grep -q 'No matching distribution found' "$log"; then
        echo "the package index does not have a locked package, or not for this machine (Linux x86_64 with glibc)."
    else
        echo "read $log from the first error on."
    fi
}

install_lock() {
    say "Setting up $venv with $(version_of "$python") from requirements.lock; it takes a minute or two."
    rm -rf "$venv"
    mkdir "$venv"
    : >"$log"
    run keep "$python" -m venv "$venv"
    # What installs and builds comes from the lock too, and comes first: pip would otherwise fetch whatever
    # setuptools is current into a build environment of its own, unpinned.
    awk '/^[A-Za-z]/ { keep = /^(pip|setuptools|wheel)==/ } keep' requirements.lock >"$venv/installer.txt"
    run keep "$venv/bin/python" -m pip install --no-deps --require-hashes -r "$venv/installer.txt"
    run watch "$venv/bin/python" -m pip install --no-deps --require-hashes --no-build-isolation -r requirements.lock
}

install_project() {
    run keep "$venv/bin/python" -m pip install --no-deps --no-index --no-build-isolation --editable .
}

# The lock belongs to the open file, not to a process, so this shell keeps what the short-lived child took;
# pip inherits it, so a pip that outlives a killed shell still keeps others out.
take_lock() {
    exec 9>>.venv.lock
    "$python" -c '
import fcntl, sys
try:
    fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("waiting for another set-up of this checkout to finish", file=sys.stderr)
    fcntl.flock(9, fcntl.LOCK_EX)
'
}

up_to_date() { lock_installed && project_installed; }

set_up() {
    case $(uname -s)-$(uname -m) in
        Linux-x86_64) ;;
        *) die "Paddle Serving has packages for Linux on x86_64 only; this is $(uname -s) on $(uname -m)." \
            "Run it in a container or on a machine of that kind." ;;
    esac
    if [ -z "$python" ]; then python=$(find_python); fi
    take_lock
    if up_to_date; then return; fi  # the set-up that was waited for did it

    if lock_installed; then
        environment=$(sed -n 1,3p "$stamp")
        rm -f "$stamp"
    else
        rm -f "$stamp"
        install_lock
        environment=$(wanted_lock; version_of "$venv/bin/python")
    fi
    install_project
    printf '%s\n%s\n' "$environment" "$(wanted_project)" >"$stamp.new"
    mv "$stamp.new" "$stamp"
    say "$venv is ready: $(version_of "$venv/bin/python"), log in $log"
}

# No command below stands in a condition together with set_up or find_python: there, `set -e` is off.
command=${1:-}
case $command in
    find) find_python ;;
    setup | ensure)
        python=
        if [ -n "${PYTHON:-}" ]; then python=$(find_python); fi
        if ! up_to_date; then
            set_up
        elif [ "$command" = setup ]; then
            say "$venv is up to date: $(version_of "$venv/bin/python")"
        fi
        ;;
    *) die "usage: toolkit/bootstrap.sh setup | ensure | find" ;;
esac
