#!/bin/bash
# What is installed of the library serves a program that knows no more of it: package.bash BUILD SOURCE
#
# Installs it into a folder, then, with each compiler of those that this machine has: compiles every header alone and
# strictly, builds the examples by find_package, and one by pkg-config. A program is run with the library of that folder.
set -eu
build=$1
source=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
prefix=$folder/prefix

# Runs a command, and shows what it said where it fails.
logged() {
    "$@" >"$folder/log" 2>&1 || {
        cat "$folder/log"
        exit 1
    }
}

for component in library development; do
    logged cmake --install "$build" --prefix "$prefix" --component $component
done
libraries=$(dirname "$(find "$prefix" -name libsema.so.1)")
export PKG_CONFIG_PATH=$libraries/pkgconfig
strict=(-std=c++20 -Wall -Wextra -Wpedantic -Wconversion -Werror)

for compiler in g++-12 g++-14 clang++-14; do
    command -v $compiler >/dev/null || continue
    echo "$compiler: headers"
    for header in "$prefix"/include/sema/*.hpp; do
        echo "#include <sema/${header##*/}>" >"$folder/alone.cpp"
        $compiler "${strict[@]}" -I "$prefix/include" -fsyntax-only "$folder/alone.cpp"
    done
    echo "$compiler: find_package"
    logged cmake -G Ninja -S "$source/examples" -B "$folder/$compiler" -DCMAKE_CXX_COMPILER=$compiler \
        -DCMAKE_CXX_FLAGS="${strict[*]}" -DCMAKE_PREFIX_PATH="$prefix"
    logged cmake --build "$folder/$compiler"
    echo "$compiler: pkg-config"
    # shellcheck disable=SC2046
    $compiler "${strict[@]}" $(pkg-config --cflags sema) "$source/examples/lease.cpp" \
        -o "$folder/lease-$compiler" $(pkg-config --libs sema)
    # It runs, and says how it is to be called.
    for program in "$folder/$compiler/example_lease" "$folder/lease-$compiler"; do
        status=0
        LD_LIBRARY_PATH=$libraries "$program" 2>"$folder/said" || status=$?
        test $status = 2 && grep -q usage "$folder/said"
    done
done

# Nothing is visible but what the headers declare.
if nm -DC --defined-only "$libraries/libsema.so.1" | grep -v ' sema::v1::\| for sema::v1::\(error\|backend\)$\| SEMA_1$'; then
    echo "these names should not be visible"
    exit 1
fi
