# A folder and background processes that end with the script, however it ends.
# shellcheck shell=bash

# make_work_folder TEMPLATE: a new folder, named in $work. From here on, whatever way the script ends,
# every background process it started and still runs is stopped, and then the folder is removed.
make_work_folder() {
    work=$(mktemp -d "$1")
    trap 'leave $?' EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

leave() {
    trap '' EXIT HUP INT TERM
    local pids pid
    # Only the children of this very shell that have not ended are listed, so that no process number is
    # used that has passed to somebody else. The newest go first: clients before their server.
    jobs -pr | tac >"$work/children"
    mapfile -t pids <"$work/children"
    for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do
        gone_within 10 "$pid" || kill -KILL "$pid" 2>/dev/null || true
    done
    rm -rf "$work"
    exit "$1"
}

# gone_within SECONDS PID: waits for a child of this shell to end; false where it has not by then.
gone_within() {
    local tries=$(($1 * 20))
    while kill -0 "$2" 2>/dev/null; do
        ((tries-- > 0)) || return 1
        sleep 0.05
    done
}

# until_true SECONDS COMMAND...: waits until the command succeeds; false where it has not by then.
until_true() {
    local tries=$(($1 * 20))
    shift
    until "$@"; do
        ((tries-- > 0)) || return 1
        sleep 0.05
    done
}

# start_semad BINARY [OPTION...]: a server on a free port of the loopback interface, with an embedded
# store in $work, ready to be used. Sets $semad (process id), $server (URL) and $semad_log.
start_semad() {
    semad_log=$work/semad.log
    : >"$semad_log"
    "$1" --listen 127.0.0.1:0 --store "sqlite:$work/semad.db" "${@:2}" 2>"$semad_log" &
    semad=$!
    until_true 10 semad_spoke || true
    [[ $(<"$semad_log") =~ listening\ on\ (http://[^ ,]+),\ store ]] || {
        cat "$semad_log" >&2
        die "semad did not get ready"
    }
    # Read by whoever sources this.
    # shellcheck disable=SC2034
    server=${BASH_REMATCH[1]}
}

semad_spoke() { grep -q 'listening on' "$semad_log" || ! kill -0 "$semad" 2>/dev/null; }

# Stops semad as an administrator would. Anything but a clean end is an error.
stop_semad() {
    kill -TERM "$semad"
    gone_within 6 "$semad" || die "semad did not stop within 6 seconds of TERM"
    local status=0
    wait "$semad" || status=$?
    ((status == 0)) || {
        cat "$semad_log" >&2
        die "semad ended with status $status"
    }
}
