#!/bin/sh
# Make or mend the environment: install.sh PYTHON VENV LOCKFILE. Everything pinned and hashed, build backend included.
set -eu
python=$1 venv=$2 lock=$3

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "PayFlux needs Python 3.11 or newer; $python is $("$python" --version 2>&1 || echo missing)." >&2
    echo "Name another one: make PYTHON=/path/to/python3.11 ..." >&2
    exit 1
fi
# A half-made environment has no working pip: make it anew.
if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    rm -rf "$venv"
    if ! "$python" -m venv "$venv"; then
        rm -rf "$venv"
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        echo "Python's venv module is missing. On Debian and Ubuntu: sudo apt install python$version-venv" >&2
        echo "On Fedora it is in python3, on Alpine in py3-virtualenv (Alpine is not supported)." >&2
        exit 1
    fi
fi
echo "installing from $lock ..." >&2
# --no-deps: the lock names everything. Resolving would follow extras (coverage[toml]) past their pins to newer releases.
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --requirement "$lock"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
