# shellcheck shell=sh disable=SC2034
# The harness of the command line tests. A test script sources it, defines functions test_*, and calls run_tests; each runs
# in a directory and a subshell of its own. The script ends with "N passed, N failed, N skipped".
#
#   run ARGUMENT...        runs fettle: $status, files out and err
#   check_status N         ... and so on: each failing check says what it saw and fails the test
#   skip WHY               leaves the test, counted as skipped
FT_SRCDIR=$(cd "${FT_SRCDIR:-$(dirname "$0")/../..}" && pwd)
FT_BUILDDIR=$(cd "${FT_BUILDDIR:-.}" && pwd)
fettle=$FT_BUILDDIR/src/fettle
shared=${FT_SHARED:-$FT_SRCDIR/../shared}
script=$(cd "$(dirname "$0")" && pwd)/$(basename "$0")
work=$FT_BUILDDIR/tests/tmp/$(basename "$0")-$$
status=0 failed=0
unset NO_COLOR

fail() {
    echo "  $*"
    [ -s err ] && sed 's/^/    err: /' err | head -n 8
    failed=1
}

skip() {
    echo "SKIP $current: $*"
    exit 77
}

run() {
    "$fettle" "$@" >out 2>err </dev/null
    status=$?
}

check_status() {
    [ "$status" -eq "$1" ] || fail "status $status, expected $1"
}

check_stdout() {
    grep -qF -e "$1" out || fail "standard output lacks: $1"
}

check_stderr() {
    grep -qF -e "$1" err || fail "standard error lacks: $1"
}

check_no_stderr() {
    ! grep -qF -e "$1" err || fail "standard error holds: $1"
}

check_file() {
    [ -e "$1" ] || fail "$1 is missing"
}

check_no_file() {
    [ ! -e "$1" ] || fail "$1 should not be there"
}

check_same() {
    cmp -s "$1" "$2" || fail "$1 and $2 differ"
}

# check_json EXPRESSION [FILE]: the last line of FILE (out) is JSON, and the expression over it, d, is true. It must mean
# the same in Python and in JavaScript; without both, only the braces are looked at.
check_json() {
    tail -n 1 "${2:-out}" >json.line
    if command -v python3 >/dev/null 2>&1; then
        python3 -c 'import json,sys; d=json.load(open("json.line")); sys.exit(0 if eval(sys.argv[1]) else 1)' "$1" 2>json.err
    elif command -v node >/dev/null 2>&1; then
        node -e 'const d=JSON.parse(require("fs").readFileSync("json.line","utf8")), len=x=>x.length;
                 process.exit(eval(process.argv[1])?0:1)' "$1" 2>json.err
    else
        grep -q '^{.*}$' json.line
    fi || fail "not true of $(head -c 400 json.line): $1"
}

run_tests() {
    passed=0 bad=0 skipped=0
    mkdir -p "$work" || exit 1
    trap 'rm -rf "$work"' EXIT
    for current in $(sed -n 's/^\(test_[a-z0-9_]*\)() {.*/\1/p' "$script"); do
        mkdir "$work/$current"
        (cd "$work/$current" && "$current"; exit $failed)
        case $? in
        0) passed=$((passed + 1)) ;;
        77) skipped=$((skipped + 1)) ;;
        *) bad=$((bad + 1)); echo "FAIL $current" ;;
        esac
        rm -rf "${work:?}/$current"
    done
    echo "$passed passed, $bad failed, $skipped skipped"
    [ $bad -eq 0 ] && [ $((passed + skipped)) -gt 0 ]
}
