# The wrappers that script/compare-wrappers compares: how each is told to hold a lock while a command
# runs, and the servers of those that have one. Sourced after processes.bash; all data is in $work.
# shellcheck shell=bash
# The names are used by whoever sources this.
# shellcheck disable=SC2034

tools=(flock flock_F sem etcdctl semactl)
declare -A title_of=(
    [flock]='flock' [flock_F]='flock -F' [sem]='GNU sem' [etcdctl]='etcdctl lock' [semactl]='semactl run'
)

# wrapping TOOL LOCK COMMAND...: sets $wrapped to the command line on which the tool runs the command while
# it holds the lock. Reads $ttl, the seconds that a lease lasts, and $patience, those to wait for the lock.
wrapping() {
    local lock=$2
    case $1 in
    flock) wrapped=(flock -w "$patience" "$work/$1-$lock.lock" "${@:3}") ;;
    # It becomes the command, instead of waiting for it.
    flock_F) wrapped=(flock --no-fork -w "$patience" "$work/$1-$lock.lock" "${@:3}") ;;
    # sem hands its arguments to a shell.
    sem) wrapped=(sem --fg --id "$lock" --semaphoretimeout "-$patience" "$(printf '%q ' "${@:3}")") ;;
    etcdctl) wrapped=(etcdctl lock --ttl "$ttl" "$lock" -- "${@:3}") ;;
    semactl) wrapped=(semactl run "$lock" --ttl "$ttl" --wait "$patience" "${options[@]}" -- "${@:3}") ;;
    esac
}

# What must be there before a lock of this name can be held.
prepare_lock() {
    if [[ $1 == semactl ]]; then semactl --quiet new --save "$2" >"$work/$2.pool"; fi
}

version_of() {
    case $1 in
    flock*) flock --version | sed 's/.* from //' ;;
    sem) sem --version | sed -n '1s/^GNU //p' ;;
    etcdctl) etcdctl version | sed -n 's/^etcdctl version: /etcd /p' ;;
    semactl) semactl --version ;;
    esac
}

# Nobody's settings but ours.
isolate_tools() {
    local name
    for name in "${!ETCD@}" "${!SEMA@}" "${!PARALLEL@}"; do unset "$name"; done
    export XDG_CONFIG_HOME=$work PARALLEL_HOME=$work/parallel PARALLEL_SHELL=/bin/sh
    mkdir "$PARALLEL_HOME"
    touch "$PARALLEL_HOME/will-cite" # it asks for a citation otherwise
}

# A semad and an etcd, each on a port of its own: $semad_port and $etcd_port.
run_servers() {
    start_kept semad run_kept_semad answers_semad
    semad_port=$kept_port
    start_kept etcd run_kept_etcd answers_etcd
    etcd_port=$kept_port
    export SEMACTL_SERVER=http://127.0.0.1:$semad_port ETCDCTL_ENDPOINTS=127.0.0.1:$etcd_port
}

# start_kept NAME COMMAND TEST: starts a server on a port that seems to be free, until it answers. Who takes
# the port in the last moment makes another attempt necessary. Sets $kept_port.
start_kept() {
    local tries=5
    while ((tries-- > 0)); do
        kept_port=$(free_port)
        keep "$1" "$2" "$kept_port" &
        if until_true 10 "$3" "$kept_port"; then return; fi
        kill -TERM $!
        gone_within 5 $! || true
    done
    cat "$work/$1.log" >&2
    die "$1 did not get ready"
}

run_kept_semad() { exec semad --listen "127.0.0.1:$1" --store "sqlite:$work/semad.db"; }
answers_semad() { semactl --server "http://127.0.0.1:$1" -q ping >/dev/null 2>&1; }

# Port 0: nobody connects to the one for other members.
run_kept_etcd() {
    exec etcd --name compare --data-dir "$work/etcd" \
        --listen-client-urls "http://127.0.0.1:$1" --advertise-client-urls "http://127.0.0.1:$1" \
        --listen-peer-urls http://127.0.0.1:0 --initial-advertise-peer-urls "http://127.0.0.1:$1" \
        --initial-cluster "compare=http://127.0.0.1:$1"
}
answers_etcd() { ETCDCTL_ENDPOINTS=127.0.0.1:$1 etcdctl endpoint health >/dev/null 2>&1; }

# keep NAME COMMAND...: runs a server, and again after each of its ends, but not while there is a file
# $work/NAME.away. Its process id is in $work/NAME.pid. Ends with the server at a TERM.
keep() {
    local name=$1 server=''
    shift
    trap '[[ -z $server ]] || kill -KILL "$server" 2>/dev/null; exit 0' TERM
    while :; do
        "$@" >>"$work/$name.log" 2>&1 &
        server=$!
        echo "$server" >"$work/$name.pid"
        { wait "$server" || true; } 2>/dev/null # without the shell's word about a killed process
        server=''
        sleep 0.1
        while [[ -e $work/$name.away ]]; do sleep 0.05; done
    done
}

# The server of a tool.
server_of() {
    case $1 in
    etcdctl) echo etcd ;;
    semactl) echo semad ;;
    esac
}

# signal_server TOOL SIGNAL
signal_server() { kill "-$2" "$(<"$work/$(server_of "$1").pid")"; }

server_answers() {
    case $1 in
    etcdctl) answers_etcd "$etcd_port" ;;
    semactl) answers_semad "$semad_port" ;;
    esac
}

accepts() { (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# A port of the loopback interface that nobody uses now, below those that the kernel hands out by itself.
free_port() {
    local port
    while :; do
        port=$((20000 + SRANDOM % 10000))
        if ! grep -qsE "^ *[0-9]+: [0-9A-F]+:$(printf %04X "$port") " /proc/net/tcp /proc/net/tcp6; then
            echo "$port"
            return
        fi
    done
}
