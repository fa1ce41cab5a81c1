# Measure one target and print what was seen. Nothing is judged here but which addresses may be contacted.
#
# Given: KIND (dns, tcp, http or control), HOST, LITERAL, PORT, ADDRESS_RULES, DNS_QUERIES ("NAME:HEX ..."),
# CURL_CONFIG, PROXY, CA_PEM, CLIENT_PEM, REQUEST_HEX. Printed: lines "NAME BASE64", the last of them "complete".
# Values are compressed and encoded, so that nothing a server says can look like a measurement.

NO_ENCODINGS='utf-?8|us-ascii|iso-8859-[0-9]+|windows-125[0-9]|binary|[78]bit|text|plain|aws-chunked'

umask 077
cd /tmp || exit 1
exec 2>errors
ulimit -f 1024

# put NAME [BYTES]: print standard input as a measurement, cut to that many bytes.
put() { printf '%s %s\n' "$1" "$(head -c "${2:-4096}" | gzip -c | base64 -w 0)"; }

# seconds: the time since boot; busybox has no finer clock than its hundredths.
seconds() { cut -d ' ' -f 1 /proc/uptime; }

in_url() { case $1 in *:*) printf '[%s]' "$1" ;; *) printf '%s' "$1" ;; esac; }

resolvers() { awk '$1 == "nameserver" && n++ < 3 { print $2 }' /etc/resolv.conf; }

vantage() {
    date +%s | put clock
    ip -o addr show scope global | awk '{ print $4 }' | put addresses
    ip route show | put routes4
    ip -6 route show | grep -v -e unreachable -e ' dev lo' -e '^fe80' -e '^ff00' | put routes6
    resolvers | put resolvers
    { cat /proc/loadavg; grep -c '^processor' /proc/cpuinfo; grep -E '^Mem(Total|Available)' /proc/meminfo; } | put load
}

# ask SERVER HEX FILE: send a DNS query over UDP, a second time after silence or SERVFAIL, and keep the last reply.
ask() {
    mkfifo "$3.pipe"
    : >"$3"
    for _ in 1 2; do
        printf '%s' "$2" | xxd -r -p >"$3.query"
        nc -u -w 2 "$1" 53 <"$3.query" >"$3.pipe" &
        asking=$!
        dd if="$3.pipe" of="$3.new" bs=4096 count=1
        kill "$asking"
        if [ -s "$3.new" ]; then mv "$3.new" "$3"; fi
        case $(xxd -p -s 3 -l 1 "$3") in '' | ?2) ;; *) break ;; esac
    done
}

ask_all() {
    for server in $(resolvers); do
        for query in $DNS_QUERIES; do
            ask "$server" "${query#*:}" "reply-${query%%:*}-$server" &
        done
    done
}

# names: the name, and a short one with each search domain; musl adds none where the engine sets "ndots:0".
names() {
    printf '%s\n' "$HOST"
    case $HOST in *.*) ;; *) awk '$1 == "search" { for (i = 2; i <= NF && i < 7; i++) print ENVIRON["HOST"] "." $i }' /etc/resolv.conf ;; esac
}

# look_up 4|6: the addresses of one family that a client gets for the name, and when that began and ended.
look_up() {
    began=$(seconds)
    for name in $(names); do
        if [ "$1" = 4 ]; then
            getent ahostsv4 "$name" | awk '!seen[$1]++ { print $1 }' >found4
        else
            # "hosts" asks for IPv6 alone, also in a container without it, and prints one address.
            timeout 6 getent hosts "$name" | awk '$1 ~ /:/ && $1 !~ /^::ffff:/ { print $1 }' >found6
        fi
        if [ -s "found$1" ]; then break; fi
    done
    # musl refuses names with an underscore, which other clients resolve.
    case $HOST in
        *_*)
            for server in $(resolvers); do
                nslookup -type="$2" "$HOST" "$server" | sed -n '/^Name:/,$s/^Address:[[:space:]]*//p' >"found$1"
                if [ -s "found$1" ]; then break; fi
            done
            ;;
    esac
    printf '%s %s\n' "$began" "$(seconds)" >"lookup$1"
    if [ "$1" = 6 ] && [ -s found6 ]; then
        # All of them. "ahostsv6" needs the IPv4 half of the name to resolve as well, and may map it into IPv6.
        getent ahostsv6 "$name" | awk '$1 !~ /^::ffff:/ && !seen[$1]++ { print $1 }' >>found6
    fi
}

resolve() {
    if [ -n "$LITERAL" ]; then
        printf '%s\n' "$LITERAL" >found4
        return
    fi
    look_up 4 a &
    look_up 6 aaaa &
    ask_all
    wait
    put lookup4 <lookup4
    put lookup6 <lookup6
    for reply in reply-*; do
        case $reply in *.pipe | *.query | *.new | 'reply-*') ;; *) put "$reply" <"$reply" ;; esac
    done
}

# judge: read addresses; print each with "yes" or "no", its kind, and the address that a connection would come from,
# or "-" where no route leads to it.
judge() {
    awk '
        function groups(text,    part, n, i, out) {
            n = text == "" ? 0 : split(text, part, ":")
            for (i = 1; i <= n; i++) out = out sprintf(length(part[i]) > 4 ? "%33s" : "%4s", tolower(part[i]))
            gsub(/ /, "0", out)
            return out
        }
        function digits(text,    part, n, i, out, left, right) {
            if (text ~ /^[0-9]+[.][0-9]+[.][0-9]+[.][0-9]+$/) {
                split(text, part, ".")
                for (i = 1; i <= 4; i++) out = out sprintf("%02x", part[i])
                return length(out) == 8 ? "4" out : ""
            }
            if (text !~ /^[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*$/) return ""
            if (match(text, /[0-9]+[.][0-9]+[.][0-9]+[.][0-9]+$/)) {
                split(substr(text, RSTART), part, ".")
                text = substr(text, 1, RSTART - 1) sprintf("%x:%x", part[1] * 256 + part[2], part[3] * 256 + part[4])
            }
            if (text ~ /[.]/) return ""
            n = split(text, part, "::")
            left = groups(part[1])
            right = n > 1 ? groups(part[2]) : ""
            if (n > 2 || (n == 1 && length(left) != 32)) return ""
            while (length(left) + length(right) < 32) left = left "0"
            return length(left right) == 32 ? "6" left right : ""
        }
        BEGIN { count = split(ENVIRON["ADDRESS_RULES"], rule, "\n") }
        {
            code = digits($1)
            verdict = "no malformed"
            for (i = 1; i <= count && code != ""; i++) {
                split(rule[i], field, " ")
                if (code ~ field[3]) { verdict = field[1] " " field[2]; break }
            }
            print $1, verdict
        }
    ' | while read -r address verdict kind; do
        case $address in *:*) family=-6 ;; *) family=-4 ;; esac
        from=$(ip "$family" route get "$address" | sed -n 's/.* src \([^ ]*\).*/\1/p')
        printf '%s %s %s %s\n' "$address" "$verdict" "$kind" "${from:--}"
    done
}

# transfer N OPTION...: one transfer by curl, with all that is known of it in files.
transfer() {
    number=$1
    shift
    curl -q -s -v --config curl.conf "$@" --dump-header "headers-$number" \
        --write-out "%output{result-$number}%{json}" 2>"trace-$number" | head -c 32769 >"body-$number"
}

# fetch N OPTION...: a transfer; if the certificate is rejected (exit code 60), once more without verification, so that
# the rest can be seen. Curl does not load the authorities when it does not verify.
fetch() {
    transfer "$@"
    if grep -q '"exitcode":60,' "result-$1"; then
        mv "result-$1" "verified-$1"
        transfer "$@" --insecure
        set -- "$@" --insecure
    fi
    # The names of character sets are common where an encoding should be named, and nothing is encoded then.
    if grep -q '"exitcode":61,' "result-$1" && grep -qiE "^content-encoding: *($NO_ENCODINGS)[[:space:]]*$" "headers-$1"; then
        transfer "$@" --no-compressed
    fi
    if grep -q '^url = "http:' curl.conf && grep -qE '"exitcode":(1|52|56),' "result-$1"; then fetch_http2 "$@"; fi
    if grep -q '^[*] .*Request CERT' "trace-$1" && ! grep -q 'BEGIN CERT' "result-$1"; then see_certificate "$@"; fi
}

# fetch_http2 N OPTION...: a transfer that begins with HTTP/2, kept if the server speaks it: some know nothing else.
fetch_http2() {
    plain=$1
    shift
    transfer "h2-$plain" "$@" --http2-prior-knowledge
    if ! grep -q '"http_code":0,' "result-h2-$plain" || grep -q 'reset by server' "result-h2-$plain"; then
        for part in result headers body trace; do cp "$part-h2-$plain" "$part-$plain"; done
    fi
    rm -f ./*-h2-"$plain"
}

# see_certificate N OPTION...: the server's certificate as it was sent. Curl reports none if the handshake fails, as that
# of TLS 1.2 does where the server wants a certificate of the client.
see_certificate() {
    put authorities 262144 <ca.pem
    number=$1
    shift
    curl -q -s --config curl.conf "$@" --insecure --output /dev/null --trace - |
        sed -n '/(IN), TLS handshake, Certificate (11)/,/^[*] .*TLS handshake, S/p' >"sent-$number"
}

# fetch_from N ADDRESS: a transfer from this address and no other, whatever host or port curl reads in the URL.
fetch_from() {
    fetch "$1" --resolve "pinned.invalid:$PORT:$(in_url "$2")" --connect-to "::pinned.invalid:$PORT"
}

# knock N ADDRESS: one connection, closed at once; curl's trace has the reason of a failure, which nc keeps quiet.
knock() {
    began=$(seconds)
    nc -z -w 3 "$2" "$PORT" </dev/null
    printf '%s %s %s\n' "$?" "$began" "$(seconds)" >"knock-$1"
    grep -q '^0 ' "knock-$1" ||
        curl -q -s -v --noproxy '*' --connect-timeout 3 --max-time 4 --write-out "%output{result-$1}%{json}" \
            "telnet://$(in_url "$2"):$PORT" </dev/null >/dev/null 2>"trace-$1"
}

# try_addresses: contact up to three addresses of each family, side by side, if all of the name's may be contacted.
try_addresses() {
    cat found4 found6 | awk '!seen[$1]++ && n++ < 32' | judge >judged
    put judged <judged
    if [ "$KIND" = dns ] || grep -q ' no ' judged; then return; fi
    awk '$4 != "-" { family = index($1, ":") ? 6 : 4; if (n[family]++ < 3) print $1 }' judged >candidates
    n=0
    while read -r address; do
        n=$((n + 1))
        printf '%s\n' "$address" | put "address-$n"
        if [ "$KIND" = tcp ]; then knock "$n" "$address" & else fetch_from "$n" "$address" & fi
    done <candidates
    wait
}

# prepare: the files that curl reads.
prepare() {
    printf '%s\n' "$CURL_CONFIG" >curl.conf
    printf '%s' "$REQUEST_HEX" | xxd -r -p >request
    printf '%s\n' "$CLIENT_PEM" >client.pem
    { printf '%s\n' "$CA_PEM"; cat "${CURL_CA_BUNDLE:-/etc/ssl/cert.pem}"; } >ca.pem
}

prepare
vantage
if [ "$KIND" = control ]; then
    ask_all
    wait
    for reply in reply-*; do
        case $reply in *.pipe | *.query | *.new | 'reply-*') ;; *) put "$reply" <"$reply" ;; esac
    done
    [ -z "$PROXY" ] || curl -q -s --proxy "$PROXY" --connect-timeout 3 --max-time 6 --output /dev/null \
        --write-out '%{json}' http://airflow-incident-provider.invalid/ | put proxy
elif [ -n "$PROXY" ]; then
    printf 'proxy\n' | put address-1
    fetch 1 --proxy "$PROXY"
else
    resolve
    try_addresses
fi
for file in knock-* result-* verified-* headers-* body-* trace-* sent-*; do
    case $file in
        *'*') ;;
        result-* | verified-* | sent-*) put "$file" 262144 <"$file" ;;
        body-*) put "$file" 32769 <"$file" ;;
        trace-*) grep -a '^[*] ' "$file" | grep -a -e 'failed:' -e 'Request CERT' -e alert -e TLS | put "$file" 8192 ;;
        *) put "$file" 32768 <"$file" ;;
    esac
done
put errors 2048 <errors
printf 'complete\n'
