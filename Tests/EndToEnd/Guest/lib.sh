# What the scripts in the guest share.

failed=0

# check NAME COMMAND...: one check; its failure makes `finish` fail.
check() {
    local what=$1
    shift
    if "$@"; then
        echo "ok: $what"
    else
        echo "FAILED: $what"
        failed=1
    fi
}

# await SECONDS COMMAND...: repeats the command until it succeeds; fails when it did not in time.
await() {
    local left=$(($1 * 20))
    shift
    until "$@"; do
        left=$((left - 1))
        [ $left -gt 0 ] || return 1
        sleep 0.05
    done
}

finish() {
    if dmesg | grep -E 'I/O error|blocked for more than|Oops|BUG:'; then failed=1; fi
    exit $failed
}
