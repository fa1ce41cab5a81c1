# Does something listen on the port? Five connections, each closed as soon as it stands; nothing is sent.
#
# Given: TARGET_HOST, TARGET_PORT.

permitted_addresses "$TARGET_HOST"

# attempt ADDRESS: connect once, and print "open MILLISECONDS", or the reason why not. busybox has no clock that
# counts milliseconds; curl's trace does. curl would wait for the server to speak, so it is ended once awk knows.
attempt() {
    rm -f /tmp/trace
    mkfifo /tmp/trace
    curl -q -sv --trace-time --noproxy '*' --connect-timeout 2 --max-time 3 \
        "telnet://$(in_url "$1"):$TARGET_PORT" </dev/null >/dev/null 2>/tmp/trace &
    curl_pid=$!
    awk '
        function ms(clock,    part) {
            split(clock, part, ":")
            return ((part[1] * 60 + part[2]) * 60 + part[3]) * 1000
        }
        function since(start, now) { return now < start ? now + 86400000 - start : now - start }
        / Trying / && !trying { start = ms($1); trying = 1 }
        /Established connection|Connected to/ { printf "open %.3f\n", since(start, ms($1)); found = 1; exit }
        /Connection refused/ { print "refused"; found = 1; exit }
        /timed out/ { print "timeout"; found = 1; exit }
        /unreachable|No route|not available/ { print "unreachable"; found = 1; exit }
        END { if (!found) print "failed" }
    ' </tmp/trace
    kill "$curl_pid" 2>/dev/null
    wait "$curl_pid" 2>/dev/null
}

tries=0
while [ "$tries" -lt 5 ]; do
    for address in $ADDRESSES; do
        [ "$tries" -lt 5 ] || break
        result=$(attempt "$address")
        printf '%s port %s: %s\n' "$address" "$TARGET_PORT" "$result" >>/tmp/attempts
        tries=$((tries + 1))
        # A silent address costs two seconds a try: two tries tell enough.
        [ "$(grep -c timeout /tmp/attempts)" -lt 2 ] || break 2
    done
done

evidence </tmp/attempts
fact tries "$tries"
for outcome in open refused timeout unreachable failed; do
    fact "$outcome" "$(grep -c ": $outcome" /tmp/attempts)"
done
fact open_ms "$(sed -n 's/.*: open //p' /tmp/attempts | tr '\n' ' ')"
fact not_open "$(grep -v ': open ' /tmp/attempts | cut -d ' ' -f 1 | sort -u | tr '\n' ' ')"
complete
