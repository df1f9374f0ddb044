# The portable semactl in a root that has nothing but it and busybox, on a machine that has nothing but a loopback
# interface. Runs in mount, network and pid namespaces of its own, with a folder: see script/test-packages.
# shellcheck shell=bash
# Functions are called by their names, by `check`; start_semad sets what is used here.
# shellcheck disable=SC2154,SC2317

test_portable() {
    busybox ip link set lo up
    root=$work/root
    mkdir -p "$root"/{bin,dev,etc,proc,tmp,usr/local/bin}
    cp "$(command -v busybox)" "$root/bin/"
    ln -s busybox "$root/bin/sh"
    mknod -m 666 "$root/dev/null" c 1 3
    install -m 755 build/packages/semactl-portable "$root/usr/local/bin/semactl"
    c++ -std=c++20 -o "$work/denied_calls" tests/e2e/denied_calls.cpp

    start_semad build/release/server/semad
    port=${server##*:}
    export SEMACTL_SERVER=http://seats.test:$port

    check "it is one static file" has_no_libraries
    echo '127.0.0.1 seats.test' >"$root/etc/hosts"
    check "without /proc it says so, and borrows nothing" says_that_proc_is_missing
    mount -t proc proc "$root/proc"
    check "the main job, the server's name in /etc/hosts" does_the_job
    rm "$root/etc/hosts"
    perl script/lib/packages/dns.pl 127.0.0.1 seats.test &
    echo 'nameserver 127.0.0.1' >"$root/etc/resolv.conf"
    check "the main job, the server's name from /etc/resolv.conf's server" until_true 5 does_the_job
    check "a name that nobody knows" misses_unknown_name
    # As Debian and RHEL have them.
    printf '%s\n' 'passwd: files systemd sss ldap' 'hosts: files mymachines resolve [!UNAVAIL=return] myhostname dns' \
        'services: db files' >"$root/etc/nsswitch.conf"
    check "the main job, with modules in /etc/nsswitch.conf" does_the_job
    check "the user's name, from the login or from /etc/passwd" tells_user
    # A kernel as old as that gives random bytes through these alone.
    mknod -m 666 "$root/dev/random" c 1 8
    mknod -m 666 "$root/dev/urandom" c 1 9
    under=("$work/denied_calls" ENOSYS newer-than-3.10 --)
    check "the main job, without the system calls that Linux 3.10 lacks" does_the_job
    under=("$work/denied_calls" EPERM pidfd_open pidfd_send_signal close_range timerfd_create timer_create --)
    check "the main job, where a container refuses calls" does_the_job
    under=()
    check "a command whose lease is gone is stopped" stops_command
    check "certificates are those of the distribution, or of SSL_CERT_FILE" trusts_certificates
}

under=()

# in_bare_root COMMAND...: with the variables that the caller's test sets, and no others of the machine's.
in_bare_root() {
    env -i PATH=/usr/local/bin:/bin HOME=/tmp SEMACTL_SERVER="$SEMACTL_SERVER" "${variables[@]}" \
        "${under[@]}" "$(command -v chroot)" "$root" "$@"
}
variables=()

has_no_libraries() {
    local headers
    headers=$(readelf --wide --program-headers --dynamic build/packages/semactl-portable)
    [[ $headers == *EXEC* && $headers != *INTERP* && $headers != *NEEDED* ]]
}

does_the_job() {
    local pool output status=0
    pool=$(in_bare_root semactl new --count 2) || return
    # shellcheck disable=SC2016  # for the inner shell
    output=$(in_bare_root semactl run "$pool" -- sh -c 'echo "seat $SEMA_POSITION"; exit 3') || status=$?
    [[ $output == "seat 0" && $status == 3 ]] || return
    output=$(in_bare_root semactl inspect "$pool")
    [[ $output == *"in_use     0"* ]]
}

says_that_proc_is_missing() {
    local pool output status=0
    pool=$(in_bare_root semactl new --count 1) || return
    output=$(in_bare_root semactl run "$pool" -- sh -c 'echo ran' 2>&1) || status=$?
    [[ $status == 125 && $output == *"/proc"* && $output != *ran* ]] || return
    # The rest needs none.
    in_bare_root semactl borrow "$pool" --ttl 60 >/dev/null
}

misses_unknown_name() {
    local output status=0
    output=$(in_bare_root semactl --server "http://elsewhere.test:$port" ping 2>&1) || status=$?
    [[ $status == 69 && $output == *"no host of that name"* ]]
}

tells_user() {
    variables=(USER=ann)
    holder_is 'ann@' || return
    echo 'root:x:0:0::/:/bin/sh' >"$root/etc/passwd"
    holder_is 'root@' || return
    variables=()
}

# Whether a job's holder begins with the words.
holder_is() {
    local pool
    pool=$(in_bare_root semactl new --count 1) || return
    in_bare_root semactl run "$pool" -- semactl holders "$pool" | grep -q " $1"
}

stops_command() {
    local pool status=0
    pool=$(in_bare_root semactl new --count 1) || return
    # shellcheck disable=SC2016  # for the inner shell
    in_bare_root semactl run "$pool" -- sh -c 'busybox sleep 300 & semactl -q revoke "$1" 0; wait' sh "$pool" 2>/dev/null ||
        status=$?
    ((status == 79)) && ! pgrep -f 'sleep 300' >/dev/null
}

trusts_certificates() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=seats.test \
        -addext subjectAltName=DNS:seats.test -keyout "$work/key" -out "$work/certificate" 2>/dev/null
    openssl s_server -accept 127.0.0.1:8443 -www -key "$work/key" -cert "$work/certificate" >/dev/null 2>&1 &
    until_true 5 ping_says "its certificate is of no authority that is trusted" || return
    local place
    for place in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem \
        /etc/ssl/cert.pem; do
        mkdir -p "$root${place%/*}"
        cp "$work/certificate" "$root$place"
        ping_says "no semad gives" || return
        rm "$root$place"
    done
    cp "$work/certificate" "$root/tmp/own.pem"
    variables=(SSL_CERT_FILE=/tmp/own.pem)
    ping_says "no semad gives" || return
    variables=()
}

ping_says() { [[ $(in_bare_root semactl --server https://seats.test:8443 ping 2>&1) == *"$1"* ]]; }
