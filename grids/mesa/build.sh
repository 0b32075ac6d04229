#!/bin/bash
# Compiles MESA's work folder for binaries with the hooks of src, once for all runs of a plan.
set -eu
@MESA_DIR@
: "${MESA_DIR:?set it to the folder of MESA}"
plan=$(cd "$(dirname "$0")" && pwd)
if [ -e "$plan/work" ]; then
    echo "$plan/work is there: remove it to compile again" >&2
    exit 2
fi
cp -R "$MESA_DIR/binary/work" "$plan/work"
cp "$plan"/src/*.f90 "$plan/work/src/"
cd "$plan/work"
./mk
