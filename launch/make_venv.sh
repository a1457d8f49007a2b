#!/bin/sh
# Makes the virtual environment: make_venv.sh PYTHON DIR. An environment that works is kept.
# Debian's python3 comes without venv: then virtualenv is tried, then it is said what to install.
python=$1
dir=$2

"$dir/bin/python" -m pip --version >/dev/null 2>&1 && exit 0

if ! command -v "$python" >/dev/null; then
    echo "adpkv needs Python 3.11 or newer, and there is no $python: apt install python3 python3-venv" >&2
    exit 2
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "adpkv needs Python 3.11 or newer, this is $("$python" --version); try: make PYTHON=python3.11" >&2
    exit 2
fi
if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    exec "$python" -m venv --clear "$dir"
fi
if "$python" -c 'import virtualenv' 2>/dev/null; then
    exec "$python" -m virtualenv --quiet --clear "$dir"
fi
echo "$python cannot make virtual environments: apt install python3-venv, then once more" >&2
exit 2
