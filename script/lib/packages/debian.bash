# The Debian packages in fresh roots. Runs in mount and pid namespaces of its own, with a folder: see
# script/test-packages.
# shellcheck shell=bash
# Functions are called by their names, by `check`; the folder in $work is made by script/test-packages.
# shellcheck disable=SC2154,SC2317

packages=(semad semactl libsema1 libsema-dev)
# As the roots have them.
new=("${packages[@]/#//srv/new_}") new=("${new[@]/%/.deb}")
older=("${packages[@]/#//srv/older_}") older=("${older[@]/%/.deb}")

# make_base SUITE: build/roots/SUITE.tar, a minimal system, and build/roots/SUITE-build.tar, the same with what it takes
# to build. Both are made once; the second one anew where script/bootstrap has changed.
make_base() {
    local made_from
    mkdir -p build/roots
    if [[ ! -e build/roots/$1.tar ]]; then
        heading "making a root of Debian $1"
        apart -- new_base "$1"
    fi
    made_from=$(sha256sum <script/bootstrap)
    if [[ $(cat "build/roots/$1-build.made_from" 2>/dev/null) != "$made_from" ]]; then
        heading "installing in it what it takes to build"
        apart -- new_build_base "$1"
        echo "$made_from" >"build/roots/$1-build.made_from"
    fi
}

test_new_base() {
    debootstrap --variant=minbase "$1" "$work/root" >"build/roots/$1.log" 2>&1 || die "debootstrap: build/roots/$1.log"
    {
        echo "deb http://deb.debian.org/debian $1 main"
        echo "deb http://deb.debian.org/debian $1-updates main"
        echo "deb http://deb.debian.org/debian-security $1-security main"
    } >"$work/root/etc/apt/sources.list"
    rm -f "$work"/root/var/cache/apt/archives/*.deb
    pack "$1"
}

test_new_build_base() {
    unpack "$1"
    copy_source "$work/root/src"
    { in_root apt-get -qq update && in_root /src/script/bootstrap build package &&
        in_root apt-get -qq -y install --no-install-recommends ccache; } >"build/roots/$1-build.log" 2>&1 ||
        die "what it takes to build could not be installed: build/roots/$1-build.log"
    rm -rf "$work"/root/src "$work"/root/var/cache/apt/archives/*.deb
    pack "$1-build"
}

# pack NAME and unpack NAME: the root, without what is mounted there.
pack() {
    tar --one-file-system --create --file "build/roots/$1.new" --directory "$work/root" .
    mv "build/roots/$1.new" "build/roots/$1.tar"
}

unpack() {
    root=$work/root
    mkdir "$root"
    tar --extract --file "build/roots/$1.tar" --directory "$root"
    mount -t proc proc "$root/proc"
    mount -t tmpfs tmpfs "$root/tmp"
    cp -L /etc/resolv.conf "$root/etc/"
}

in_root() {
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
        DEBIAN_FRONTEND=noninteractive "$(command -v chroot)" "$work/root" "$@"
}

test_debian() {
    unpack "$1-build"
    build_there
    mkdir -p "build/packages/$1"
    cp "$work"/root/src/build/packages/*.deb "build/packages/$1/"
    check "libsema-dev: programs are built with it" builds_programs
    umount "$work/root/proc" "$work/root/tmp" "$work/root/root"
    rm -rf --one-file-system "$work/root"

    unpack "$1"
    make_versions "$1"
    check "no systemd: installed" install_with_dependencies
    check "no systemd: the programs run, and their manuals are there" programs_run
    check "no systemd: purged, and nothing is left" purges
    # What is needed from the network is here. From now on semad has a loopback interface to itself.
    unshare --net script/test-packages inside "$work" debian_service
}

# The build's cache is the one of this machine, where it has any.
build_there() {
    local cache
    cache=$(ccache --get-config cache_dir 2>/dev/null) || cache=
    mount --bind "${cache:-$(mktemp -d "$work/cache.XXXXXX")}" "$work/root/root"
    copy_source "$work/root/src"
    in_root env CCACHE_DIR=/root /src/script/package deb
}

# Where the packages were built, which has a compiler; what is tried later is $work/lease.
builds_programs() {
    # shellcheck disable=SC2016  # for the inner shell
    in_root sh -ec '
        dpkg --install /src/build/packages/libsema*.deb
        examples=/usr/share/doc/libsema-dev/examples
        cmake -S $examples -B /tmp/examples
        cmake --build /tmp/examples
        c++ -std=c++20 -o /srv/lease $examples/lease.cpp $(pkg-config --cflags --libs sema)' >"$work/log" 2>&1 ||
        { cat "$work/log" && false; } || return
    mv "$work/root/srv/lease" "$work/lease"
}

# make_versions SUITE: the packages as /srv/new_*.deb, and the same with a lower version and another configuration.
make_versions() {
    local name
    for name in "${packages[@]}"; do
        cp "build/packages/$1/$name"_*.deb "$root/srv/new_$name.deb"
        dpkg-deb --raw-extract "$root/srv/new_$name.deb" "$work/older"
        sed -i "s/^Version: .*/Version: 0.0.9/; s/(= [0-9.]*)/(= 0.0.9)/" "$work/older/DEBIAN/control"
        [[ $name != semad ]] || echo '# older' >>"$work/older/etc/semad/semad.toml"
        dpkg-deb --root-owner-group --build "$work/older" "$root/srv/older_$name.deb" >/dev/null
        rm -rf "$work/older"
    done
}

install_with_dependencies() {
    in_root apt-get -qq update >/dev/null
    in_root apt-get -qq -y install --no-install-recommends "${older[@]}" \
        >"$work/log" 2>&1 || { cat "$work/log" && false; }
}

programs_run() {
    [[ $(in_root semad --version) == semad* && $(in_root semactl --version) == semactl* ]] || return
    # Where systemd runs, it makes the folder of the store.
    mkdir "$work/root/var/lib/semad" && in_root semad check --config /etc/semad/semad.toml >/dev/null || return
    # shellcheck disable=SC2016  # dpkg's own variables
    [[ $(in_root dpkg-query --show --showformat '${Conffiles}' semad) == *" /etc/semad/semad.toml "* ]] || return
    [[ -e $work/root/usr/share/man/man8/semad.8.gz && -e $work/root/usr/share/man/man1/semactl-run.1.gz ]]
}

purges() {
    in_root dpkg --purge "${packages[@]}" >/dev/null 2>&1 || return
    local left
    left=$(cd "$work/root" && find . -xdev \( -path ./srv -o -path ./var/log \) -prune -o \
        \( -name '*sema[dc]*' -o -name 'libsema[-.1]*' -o -name sema -o -name sema.pc \) -print)
    [[ -z $left ]] || {
        echo "left: $left"
        false
    }
}

test_debian_service() {
    busybox ip link set lo up
    root=$work/root
    mkdir -p "$root/run/systemd/system"
    install -m 755 script/lib/packages/systemctl "$root/usr/local/bin/systemctl"

    check "installed: enabled and started" installs
    check "it lends a slot, and has one waiter" lends
    echo '# mine' >>"$root/etc/semad/semad.toml"
    check "upgraded: restarted, with the administrator's configuration" upgrades
    check "the lease is still held, and the waiter in the queue" keeps_lease
    check "the slot goes to the waiter" goes_on
    check "a program of libsema-dev holds a slot" program_holds_slot
    check "removed: stopped, and its data and configuration are kept" removes
    check "installed again: it has the pool" has_pool_again
    check "purged: nothing is left" purges
}

# dpkg's words are shown where it fails.
dpkg_does() { in_root dpkg "$@" >"$work/log" 2>&1 || { cat "$work/log" && false; }; }

installs() {
    dpkg_does --install "${older[@]}" || return
    [[ -L $root/etc/systemd/system/multi-user.target.wants/semad.service ]] && until_true 20 answers
}

answers() { in_root semactl ping >/dev/null 2>&1; }

lends() {
    pool=$(in_root semactl new --count 1) || return
    # shellcheck disable=SC2016  # for the inner shell
    in_root semactl run "$pool" --ttl 10m -- sh -c 'until [ -e /srv/go ]; do sleep 0.1; done; echo first >>/srv/ran' &
    first=$!
    until_true 20 holders_say '1 of 1 in use' || return
    in_root semactl run "$pool" --ttl 10m --wait 1h -- sh -c 'echo second >>/srv/ran' 2>/dev/null &
    second=$!
    until_true 20 holders_say 'RANK'
}

holders_say() { in_root semactl holders "$pool" 2>/dev/null | grep -q "$1"; }

upgrades() {
    local before
    before=$(<"$root/run/systemd/pid")
    dpkg_does --force-confold --install "${new[@]}" || return
    [[ $(<"$root/run/systemd/pid") != "$before" ]] || return
    # shellcheck disable=SC2016  # dpkg's own variable
    [[ $(in_root dpkg-query --show --showformat '${Version}' semad) != 0.0.9 ]] || return
    grep -q '^# mine' "$root/etc/semad/semad.toml" && until_true 20 answers
}

keeps_lease() { until_true 20 holders_say '1 of 1 in use' && until_true 20 holders_say 'RANK'; }

goes_on() {
    touch "$root/srv/go"
    local status=0
    wait "$first" || status=1
    wait "$second" || status=1
    ((status == 0)) && [[ $(paste -sd ' ' "$root/srv/ran") == "first second" ]]
}

program_holds_slot() {
    local output
    cp "$work/lease" "$root/srv/" || return
    output=$(in_root /srv/lease http://127.0.0.1:7717 "$(in_root semactl new --count 1)") || return
    [[ $output == 'position 0, '*done ]]
}

removes() {
    dpkg_does --remove semad || return
    ! kill -0 "$(<"$root/run/systemd/pid")" 2>/dev/null &&
        [[ -e $root/etc/semad/semad.toml && -e $root/var/lib/private/semad/semad.db && ! -e $root/usr/bin/semad ]]
}

has_pool_again() {
    dpkg_does --force-confold --install /srv/new_semad.deb || return
    until_true 20 answers && in_root semactl inspect "$pool" | grep -q '^count *1'
}
