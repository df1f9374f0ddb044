# The OCI image, run by crun. Runs in mount, network and pid namespaces of its own, with a folder: see
# script/test-packages.
# shellcheck shell=bash
# Functions are called by their names, by `check`; the folder in $work is made by script/test-packages.
# shellcheck disable=SC2154,SC2317

test_image() {
    busybox ip link set lo up
    # crun refuses a machine that has both versions of cgroups.
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    mkdir "$work/oci"
    tar --extract --file build/packages/semad-image.tar --directory "$work/oci"
    umoci unpack --image "$work/oci:$(dpkg-parsechangelog --show-field Version)" "$work/bundle" >/dev/null 2>&1
    # It is reached through this network, and needs to write nowhere but in its volume.
    mkdir "$work/volume"
    chown 7717:7717 "$work/volume"
    volume=$work/volume perl -MJSON::PP -0777 -i -pe '
        my $config = decode_json $_;
        @{$config->{linux}{namespaces}} = grep {$_->{type} ne "network"} @{$config->{linux}{namespaces}};
        $config->{process}{terminal} = JSON::PP::false;
        $config->{root}{readonly} = JSON::PP::true;
        push @{$config->{mounts}},
            {destination => "/var/lib/semad", type => "bind", source => $ENV{volume}, options => ["bind", "rw"]};
        $_ = encode_json $config' "$work/bundle/config.json"
    export SEMACTL_SERVER=http://127.0.0.1:7717 XDG_CONFIG_HOME=$work

    start_container
    check "it answers on port 7717" until_true 20 container_answers
    check "it runs as a user of its own" runs_unprivileged
    pool=$(build/release/cli/semactl new --count 2)
    check "it ends well at a TERM" ends_at_term
    start_container
    check "it has its pools after a restart" until_true 20 has_pool
    check "it ends well again" ends_at_term
}

start_container() {
    crun --cgroup-manager=disabled --root "$work/crun" run --bundle "$work/bundle" semad >"$work/log" 2>&1 &
    container=$!
}

container_answers() { build/release/cli/semactl ping >/dev/null 2>&1; }

runs_unprivileged() { [[ $(pgrep --exact --euid 7717 semad | wc -l) == 1 ]]; }

ends_at_term() {
    local status=0
    crun --root "$work/crun" kill semad TERM
    wait "$container" || status=$?
    ((status == 0)) || { cat "$work/log" && false; }
}

has_pool() { build/release/cli/semactl inspect "$pool" 2>/dev/null | grep -q '^count *2'; }
