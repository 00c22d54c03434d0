# Read by the tests that compare with the prebuilt llama.cpp: installs the packages of package-lock.json once, into the build
# directory. Wants $here (this folder) and $work (where they go); calls skip, which the test defines, with a reason.
install_llama() {
    command -v node >/dev/null || skip "no node (Debian: nodejs)"
    command -v npm >/dev/null || skip "no npm (Debian: npm)"
    [ "$(uname -sm)" = "Linux x86_64" ] || skip "the pinned package is for Linux on x86-64"
    mkdir -p "$work" || exit 1
    {
        flock 9 2>/dev/null # one test at a time, where there is such a command
        if ! cmp -s "$here/package-lock.json" "$work/installed"; then
            cp "$here/package.json" "$here/package-lock.json" "$work" || exit 1
            (cd "$work" && npm ci --omit=optional --ignore-scripts --no-audit --no-fund) >"$work/npm.log" 2>&1 </dev/null ||
                skip "npm cannot install node-llama-cpp (log: $work/npm.log)"
            cp "$work/package-lock.json" "$work/installed"
        fi
    } 9>"$work.lock"
}
# The library of that name in the package, or a skip.
llama_library() {
    library=$(find "$work/node_modules/@node-llama-cpp/linux-x64/bins" -name "$1" 2>/dev/null | head -n 1)
    [ -n "$library" ] || skip "the package holds no $1"
}
