# Read by tools/quickstart, tools/check and .ci/run: the packages, and the way from a fresh clone to a build directory.
# Sourced with $top set to the top of the source tree.

# What building needs, by Debian's names.
build_packages="gcc make autoconf automake libtool pkg-config \
libopenblas-dev libhdf5-dev libyaml-dev zlib1g-dev libpcre2-dev libutf8proc-dev libjansson-dev"
# What the tests need besides.
check_packages="check python3"
# What the longer checks need besides: a second compiler with its sanitizers, a leak finder, the makers of the goldens.
full_packages="clang libclang-rt-14-dev valgrind xz-utils python3-numpy python3-torch python3-sentencepiece"

say() { printf '%s\n' "$*" >&2; }
die() { say "$*"; exit 2; }

have_package() { dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q '^install ok installed$'; }

# need_packages NAME...: installs what is missing where apt-get and the right to use it are there; names it elsewhere.
need_packages() {
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        say "No apt on this system. Needed, by Debian's names: $*"
        return 0 # configure says what is really missing
    fi
    missing=
    for package in "$@"; do
        have_package "$package" || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" -eq 0 ]; then as_root=
    elif sudo -n true 2>/dev/null; then as_root=sudo
    else die "Missing packages. Install them and start again:  sudo apt-get install$missing"
    fi
    say "Installing:$missing"
    [ -n "${apt_updated-}" ] || $as_root apt-get update -q >&2 || say "apt-get update failed; trying with what is known"
    apt_updated=yes
    # shellcheck disable=SC2086
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing >&2 </dev/null ||
        die "apt-get could not install:$missing"
}

# build_in DIR [configure arguments]: autoreconf and configure where they are due, then make. DIR/build.log has it all.
build_in() {
    dir=$1
    shift
    mkdir -p "$dir"
    if ! { prepare "$dir" "$@" && make -C "$dir" -j "$(jobs_here)"; } >"$dir/build.log" 2>&1 </dev/null; then
        tail -n 40 "$dir/build.log" >&2
        die "The build failed; all of it is in $dir/build.log"
    fi
}

prepare() {
    into=$1
    shift
    [ -x "$top/configure" ] || autoreconf -fi "$top" || return 1
    # the same arguments as last time: nothing to configure (make does it by itself where configure.ac changed)
    if [ -f "$into/Makefile" ] && [ "$(cat "$into/configure.args" 2>/dev/null)" = "$*" ]; then return 0; fi
    (cd "$into" && "$top/configure" "$@") || return 1
    printf '%s\n' "$*" >"$into/configure.args"
}

jobs_here() { nproc 2>/dev/null || echo 2; }
