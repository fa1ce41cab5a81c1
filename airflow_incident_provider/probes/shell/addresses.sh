# Which addresses may be touched, decided where names are resolved: a name that is harmless when it is planned
# may resolve to the metadata service when it is used. Callers connect to what permitted_addresses prints, and
# to nothing else.
#
# Given: ADDRESS_RANGES (lines "kind network", the first that contains the address counts) and ALLOWED_NETWORKS.

# classify_addresses: read one address a line; print "address kind yes|no" for each, yes if it may be touched.
classify_addresses() {
    awk -v ranges="$(printf '%s' "$ADDRESS_RANGES" | tr '\n' ' ')" -v allowed="$ALLOWED_NETWORKS" '
        # An address as a string of 32 or 128 binary digits; empty if it is not one in plain notation.
        function bits(address) { return address ~ /:/ ? bits6(address) : bits4(address) }

        function bits4(address,    part, i, out) {
            if (split(address, part, "[.]") != 4) return ""
            for (i = 1; i <= 4; i++) {
                if (part[i] !~ /^(0|[1-9][0-9]?[0-9]?)$/ || part[i] + 0 > 255) return ""
                out = out binary(part[i] + 0, 8)
            }
            return out
        }

        function bits6(address,    halves, n, head, tail) {
            n = split(address, halves, "::")
            if (n > 2 || address ~ /:::/ || address !~ /^[0-9A-Fa-f:.]+$/) return ""
            if (n == 1) { head = groups(address); return length(head) == 128 ? head : "" }
            head = halves[1] == "" ? "" : groups(halves[1])
            tail = halves[2] == "" ? "" : groups(halves[2])
            if (head == "bad" || tail == "bad" || length(head) + length(tail) > 112) return ""
            return head zeros(128 - length(head) - length(tail)) tail
        }

        # Groups of four hexadecimal digits, the last of which may be an IPv4 address.
        function groups(text,    part, n, i, out) {
            n = split(text, part, ":")
            for (i = 1; i <= n; i++) {
                if (i == n && part[i] ~ /[.]/ && bits4(part[i]) != "") out = out bits4(part[i])
                else if (part[i] ~ /^[0-9A-Fa-f][0-9A-Fa-f]?[0-9A-Fa-f]?[0-9A-Fa-f]?$/) out = out hex(part[i])
                else return "bad"
            }
            return out
        }

        function hex(text,    i, value) {
            for (i = 1; i <= length(text); i++)
                value = value * 16 + index("0123456789abcdef", tolower(substr(text, i, 1))) - 1
            return binary(value, 16)
        }

        function binary(value, width,    out) {
            while (width-- > 0) { out = (value % 2) out; value = int(value / 2) }
            return out
        }

        function zeros(count,    out) { while (count-- > 0) out = out "0"; return out }

        function contains(network, digits,    part, base) {
            split(network, part, "/")
            base = bits(part[1])
            return length(base) == length(digits) && substr(base, 1, part[2]) == substr(digits, 1, part[2])
        }

        function kind_of(digits,    i) {
            for (i = 1; i < count; i += 2) if (contains(range[i + 1], digits)) return range[i]
            return "malformed"
        }

        function is_allowed(digits,    i) {
            for (i = 1; i <= networks; i++) if (contains(network[i], digits)) return 1
            return 0
        }

        BEGIN {
            count = split(ranges, range, " ")
            networks = split(allowed, network, " ")
        }

        {
            digits = bits($0)
            kind = digits == "" ? "malformed" : kind_of(digits)
            if (kind == "public") verdict = "yes"
            else if (kind ~ /^(private|shared|loopback|unique_local|reserved)$/) verdict = is_allowed(digits) ? "yes" : "no"
            else verdict = "no"
            print $0, kind, verdict
        }
    '
}

# is_address TEXT: whether it is an address and not a name.
is_address() {
    case $1 in
        *[!0-9.]*) case $1 in *:*) return 0 ;; *) return 1 ;; esac ;;
        *) return 0 ;;
    esac
}

# look_up NAME TYPE: ask the container's resolver for one type of address, within 4 seconds.
look_up() {
    nslookup -debug -type="$2" -timeout=2 -retry=2 "${1%.}." 2>&1 | head -c 8192
}

# answers TEXT...: the addresses in each of what look_up printed, each once, at most 16, separated by spaces. The
# resolver's own address comes before the first name, so it is not among them.
answers() {
    for text in "$@"; do
        printf '%s\n' "$text" | sed -n '/^Name:/,$s/^Address:[[:space:]]*\([0-9A-Fa-f:.]*\)$/\1/p'
    done | awk '!seen[$0]++ && NR <= 16 { printf "%s%s", sep, $0; sep = " " }'
}

# outcome: what the resolver said, in what look_up printed: NOERROR, NXDOMAIN, SERVFAIL, ..., or TIMEOUT.
outcome() {
    awk '
        /^\*\* server can.t find .*: [A-Z]+$/ { said = $NF }
        /no servers could be reached|timed out/ { said = "TIMEOUT" }
        END { print said == "" ? "NOERROR" : said }
    '
}

# lookup_ms: how many milliseconds the resolver took, in what look_up printed; empty if it did not answer.
lookup_ms() {
    sed -n 's/^Query #[0-9]* completed in \([0-9]*\)ms.*/\1/p' | head -n 1
}

# resolve HOST: set ADDRESSES to at most 16 addresses of a name (or to the address itself), separated by spaces,
# and state what the resolver said and how long it took.
resolve() {
    if is_address "$1"; then
        ADDRESSES=$1
        return
    fi
    answer=$(look_up "$1" a)
    answer6=$(look_up "$1" aaaa)
    ADDRESSES=$(answers "$answer" "$answer6")
    fact resolution "$(printf '%s\n' "$answer" | outcome)"
    fact lookup_ms "$(printf '%s\n' "$answer" | lookup_ms)"
}

# permitted_addresses HOST: resolve HOST into ADDRESSES. Ends the probe if there are none, or if any one of them
# must not be touched: a name with one good and one forbidden address is an attack or a mistake.
permitted_addresses() {
    resolve "$1"
    fact addresses "$ADDRESSES"
    [ -n "$ADDRESSES" ] || complete
    for address in $ADDRESSES; do
        refuse_unless_permitted "$1" "$address"
    done
}

# refuse_unless_permitted HOST ADDRESS: end the probe if the address must not be touched.
refuse_unless_permitted() {
    classified=$(printf '%s\n' "$2" | classify_addresses)
    case $classified in
        *" yes") ;;
        *)
            kind=${classified#* }
            kind=$(printf '%s' "${kind% *}" | tr '_' '-')
            refuse "$1 is at $2 ($kind), which may not be probed"
            ;;
    esac
}
