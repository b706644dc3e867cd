#!/bin/sh
# Load check of a running node: smoke_load.sh URL KEY[,KEY…] [LINES] [--events N …]; `--help` explains it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
python="$here/../.venv/bin/python"
[ -x "$python" ] || python=python3
PYTHONPATH="$here/..${PYTHONPATH:+:$PYTHONPATH}" exec "$python" -P -m scripts.smoke.load_check "$@"
