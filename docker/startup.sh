#!/bin/sh
# Migrates the database to the version of this image, then executes the given command.
#
#   startup.sh [COMMAND [ARGUMENT...]]
#
#   1. waits for the database                   partman wait
#   2. applies the pending migrations           piccolo migrations forwards all
#   3. in development, inserts sample data      partman seed dev (skipped elsewhere)
#   4. executes COMMAND, or exits without one
#
# Exits at the first step that fails, with that step's exit code. Standard output is for COMMAND only:
# the steps before it write to standard error.
set -eu

say() {
    printf 'startup: %s\n' "$*" >&2
}

# In the background, because a shell handles signals at once while it waits for a background
# process, but only after a foreground one has ended.
step() {
    say "$*"
    "$@" >&2 &
    wait "$!" || fail "$?" "$*"
}

fail() {
    say "'$2' ended with exit code $1. Nothing after it was run."
    exit "$1"
}

# The step gets SIGTERM for SIGINT too: a background process ignores SIGINT.
interrupt() {
    trap '' TERM INT
    say "SIG$1: stopping. Nothing more is run."
    if [ -n "${!-}" ]; then
        kill -s TERM "$!" 2>/dev/null || : # it has already ended
        wait "$!" || :
    fi
    exit "$2"
}

trap 'interrupt TERM 143' TERM
trap 'interrupt INT 130' INT

step partman wait --timeout 60
step piccolo migrations forwards all
step partman seed dev

if [ "$#" -eq 0 ]; then
    say "the database is ready"
    exit 0
fi
say "the database is ready; starting $1"
exec "$@"
