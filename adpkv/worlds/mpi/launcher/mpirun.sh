#!/bin/sh
# adpkv-mpirun: `adpkv doctor --repair` puts this before an environment's mpirun, which it keeps
# beside it as mpirun.openmpi. It does four things that no Open MPI setting can do:
#
# 1. Root. Open MPI refuses to run as root unless two variables are exported; no file can say it.
#    It does not run without a home either, as services are started and some containers.
# 2. Ctrl-C, SIGTERM and a closed terminal. mpirun answers each by killing its ranks 250 ms later,
#    too soon for requests in flight to be answered and files to be completed, and no parameter
#    changes that.
#    So the real mpirun gets a session of its own, where Ctrl-C does not reach it, and the signal
#    goes to the ranks of this host instead. They agree with all others to stop, drain and leave.
#    A program that does not handle the signal dies of it, as it would without this wrapper.
#    The third signal is for the impatient: mpirun gets SIGTERM, and kills.
# 3. A folder for each job (worlds/mpi/launcher/session_folder.py says why). It goes when the job
#    has ended, and so does the shared memory that a killed mpirun leaves (segments.py).
# 4. An end. Where ranks leave nearly at once mpirun is left behind now and then, for ever. If its
#    last process on this host has been gone for five seconds, and the ranks have said in its folder
#    what they agreed to end with (only adpkv's do), it is ended, and that is the exit code.
real="$(dirname "$(readlink -f "$0")")/mpirun.openmpi"
if [ "$(id -u)" = 0 ]; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
export HOME="${HOME:-/}"
command -v setsid >/dev/null && command -v setpriv >/dev/null || exec "$real" "$@"

# The shared memory of the ranks, by the number that Open MPI makes of its job's name.
remove_segments() {
    host=$(uname -n) hash=0
    name="prterun-${host%%.*}-$child"
    while [ -n "$name" ]; do
        hash=$(((hash + $(printf '%d' "'$name")) * 1025 & 0xffffffff))
        hash=$((hash ^ hash >> 6)) name=${name#?}
    done
    hash=$((hash * 9 & 0xffffffff))
    hash=$(((hash ^ hash >> 11) * 32769 & 0xffffffff))
    number=$(printf '%x' $(((hash >> 16 ^ hash & 0xffff) << 16 | 1)))
    rm -f /dev/shm/sm_segment.*."$(id -u)"."$number".*
}

session=
if command -v flock >/dev/null &&
    [ -z "$PRTE_MCA_prte_tmpdir_base$PRTE_MCA_prte_local_tmpdir_base" ] &&
    session=$(mktemp -d "${TMPDIR:-/tmp}/adpkv-mpirun-XXXXXX" 2>/dev/null); then
    trap 'rm -rf "$session"' EXIT
    exec 9<"$session" && flock -s 9
    export PRTE_MCA_prte_local_tmpdir_base="$session"
fi

asked=0 child=
pass_on() {
    asked=$((asked + 1))
    [ -n "$child" ] || return 0
    ranks=$(cat "/proc/$child/task/$child/children" 2>/dev/null)
    if [ "$asked" -ge 3 ] || [ -z "$ranks" ]; then
        kill -TERM "$child" 2>/dev/null
    else
        # Unquoted: one word per process id.
        kill -"$1" $ranks 2>/dev/null
    fi
}

trap 'pass_on INT' INT
trap 'pass_on TERM' TERM
trap 'pass_on HUP' HUP

# --pdeathsig: should this wrapper be killed, the job does not outlive it.
setsid setpriv --pdeathsig TERM "$real" "$@" <&0 &
child=$!
[ -z "$session" ] || echo "$child" >"$session/mpirun"
[ "$asked" = 0 ] || kill -TERM "$child"

# Ends an mpirun that outlives its ranks.
watch() {
    begun= alone=0
    while sleep 1 && kill -0 "$child"; do
        if [ -n "$(cat "/proc/$child/task/$child/children")" ]; then
            begun=1 alone=0
        elif [ -n "$begun" ]; then
            alone=$((alone + 1))
        fi
        if [ "$alone" -ge 5 ] && cp "$session/ompi.$child/adpkv-exit-code" "$session/agreed"; then
            kill -KILL "$child"
        fi
    done
}
watcher=
if [ -n "$session" ]; then
    watch </dev/null >/dev/null 2>&1 9<&- &
    watcher=$!
fi

# A trap ends `wait` early; only when the child is gone is its status the job's.
while :; do
    wait "$child"
    status=$?
    kill -0 "$child" 2>/dev/null && continue
    # Its shell keeps our output open, and whoever reads that waits for it: up to a second.
    [ -z "$watcher" ] || kill "$watcher" 2>/dev/null
    [ "$status" -le 128 ] || remove_segments
    [ -s "$session/agreed" ] && status=$(cat "$session/agreed")
    exit "$status"
done
