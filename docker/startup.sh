#!/bin/sh
# Brings the database to the version of this image, then becomes the command it was given.
#
#   startup.sh [COMMAND [ARGUMENT...]]
#
#   1. waits for the database                   partman wait
#   2. runs the pending migrations              piccolo migrations forwards all
#   3. in development, puts in sample data      partman seed dev (elsewhere it skips itself)
#   4. exec COMMAND; without one, ends
#
# Stops at the first step that fails, with that step's exit code. The standard output is left
# to COMMAND: what comes before it is written to the standard error.
set -eu

say() {
    printf 'startup: %s\n' "$*" >&2
}

# In the background, because a shell acts on a signal at once while it waits for a background
# process, but only after the end of a foreground one.
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
