# Building the project with one of the presets of CMakePresets.json.
# shellcheck shell=bash

# How many compilers may run at once: one per core, and 1.5 GB of memory for each, which is what the
# largest source file takes with a sanitizer.
build_jobs() {
    local cores memory limit
    cores=$(nproc)
    memory=$(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo)
    if [[ -r /sys/fs/cgroup/memory.max ]]; then
        limit=$(</sys/fs/cgroup/memory.max)
        [[ $limit == max ]] || ((limit / 1048576 > memory)) || memory=$((limit / 1048576))
    fi
    local jobs=$((memory / 1536))
    ((jobs <= cores)) || jobs=$cores
    ((jobs >= 1)) || jobs=1
    echo "$jobs"
}

# build PRESET [CMAKE_OPTION...] [-- TARGET...]: brings build/PRESET up to date, all of it or the targets.
# What the compilers say is shown; a build that has nothing to do says next to nothing.
build() {
    local preset=$1 options=() targets=()
    shift
    while (($# > 0)) && [[ $1 != -- ]]; do
        options+=("$1")
        shift
    done
    (($# == 0)) || targets=(--target "${@:2}")
    local log=build/$preset.configure.log
    mkdir -p build
    cmake --preset "$preset" "${options[@]}" >"$log" 2>&1 || {
        cat "$log" >&2
        die "the preset $preset could not be configured"
    }
    timed "build $preset" cmake --build --preset "$preset" --parallel "$(build_jobs)" "${targets[@]}"
}

# timed NAME COMMAND...: runs the command, and appends how long it took to the file that TIMES_FILE names, if any.
timed() {
    local began=$SECONDS status=0
    "${@:2}" || status=$?
    [[ -z ${TIMES_FILE:-} ]] || printf '%-24s %4d s\n' "$1" $((SECONDS - began)) >>"$TIMES_FILE"
    return "$status"
}

# run_tests PRESET [CTEST_OPTION...]: most tests wait for something most of the time, so that many run at a
# time; those that measure a time, or fill the machine by themselves, say so and run alone. The command in
# $tests_under, if any, starts them. What a build left to be written would hold up the disk for seconds meanwhile.
run_tests() {
    sync
    timed "tests $1" "${tests_under[@]}" ctest --preset "$1" --output-on-failure \
        --parallel "$(($(nproc) * tests_per_core))" "${@:2}"
}
tests_under=()
tests_per_core=4

# copy_source FOLDER: the files of the repository, new ones included; all there are where this is none.
copy_source() {
    mkdir -p "$1"
    { git ls-files -z --cached --others --exclude-standard 2>/dev/null ||
        find . -path ./build -prune -o -type f -print0; } |
        tar --create --null --files-from - | tar --extract --directory "$1"
}
