#!/bin/sh
# Compile the two lock files: every version pinned and hashed, no address of any index in them. Needs `uv` on the PATH.
set -eu
cd "$(dirname "$0")/.."
compile() {
    uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
        --no-emit-index-url --quiet "$@"
}
compile --group build --output-file requirements.lock
compile --group dev --constraint requirements.lock --output-file requirements-dev.lock
