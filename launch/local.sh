#!/bin/sh
# One machine: local.sh [FILE] [OPTIONS OF adpkv run]
# Makes the environment if there is none, runs FILE, a file or a name of `adpkv configs` (the
# quickstart if none is given), on real ranks with health and metrics on loopback, and starts it again where its exit code asks for that.
#
#   launch/local.sh
#   launch/local.sh closed-loop --out /tmp/run
#   launch/local.sh --set observe.http=null
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
bin=$root/.venv/bin

file=quickstart
case ${1:--} in
    -*) ;;
    *) file=$1; shift ;;
esac

[ -x "$bin/adpkv" ] || make -C "$root" setup >&2

# What is set later wins: the caller's options stand behind ours.
exec "$bin/adpkv" supervise \
    "$bin/adpkv" run "$file" --set observe.http=127.0.0.1:9400 "$@"
