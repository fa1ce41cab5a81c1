# Connections to addresses that were checked, and to no other.

# in_url ADDRESS: the address as it is written in a URL.
in_url() {
    case $1 in *:*) printf '[%s]' "$1" ;; *) printf '%s' "$1" ;; esac
}

# pinned_curl OPTION...: curl, with ADDRESSES as the only ones it can connect to: whatever host it reads in a URL,
# it goes to "pinned.invalid", and that name has only those. No configuration file, no proxy, no redirect. The
# certificate is not verified unless verification is asked for: to read a bad one is the point.
# Leaves in /tmp/connect_failure why connections failed, if any did.
pinned_curl() {
    pinned=
    for address in $ADDRESSES; do
        pinned="$pinned${pinned:+,}$(in_url "$address")"
    done
    rm -f /tmp/trace
    mkfifo /tmp/trace
    sed -n 's/^\* connect to .* failed: //p' </tmp/trace >/tmp/connect_failure &
    curl -q -s -v --globoff --noproxy '*' --max-redirs 0 --user-agent airflow-incident-provider \
        --resolve "pinned.invalid:$TARGET_PORT:$pinned" --connect-to "::pinned.invalid:$TARGET_PORT" \
        "$@" 2>/tmp/trace
    wait
}

# connection_facts FILE: state what curl wrote out as "exit-code connect tls first-byte total", in seconds, with
# its error message on the second line.
connection_facts() {
    read -r curl_exit_code timings <"$1"
    fact curl_exit_code "$curl_exit_code"
    fact timings "$timings"
    fact error "$(sed -n 2p "$1")"
    fact connect_failure "$(head -n 1 /tmp/connect_failure)"
}
