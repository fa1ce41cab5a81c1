# Which certificate does the port show, and would a client with the usual authorities accept it?
#
# Given: TARGET_HOST, TARGET_PORT.

permitted_addresses "$TARGET_HOST"

# shake_hands OPTION...: one TLS handshake, and a HEAD request that ends it.
shake_hands() {
    pinned_curl --proto =https --head --output /dev/null --connect-timeout 4 --max-time 6 "$@" \
        --url "https://$(in_url "$TARGET_HOST"):$TARGET_PORT/"
}

# certificate FIELD: a field of the server's own certificate, which is the first of the chain.
certificate() {
    sed -n "s/^$1: *//p" /tmp/certificates | head -n 1
}

# The first time nothing is verified, so that a bad certificate can be read; the second time everything is.
shake_hands --insecure --write-out '%output{/tmp/reading}%{exitcode} %{time_connect} %{time_appconnect} %{time_starttransfer} %{time_total}\n%{errormsg}\n%output{/tmp/certificates}%{certs}'
connection_facts /tmp/reading
shake_hands --write-out '%output{/tmp/verification}%{exitcode} %{time_appconnect}\n%{errormsg}\n'

{
    printf '$ curl --head https://%s:%s/ (at %s)\n' "$TARGET_HOST" "$TARGET_PORT" "$ADDRESSES"
    grep -E '^(Subject|Issuer|Start date|Expire date|X509v3 Subject Alternative Name):' /tmp/certificates
    sed -n 2p /tmp/verification
} | evidence

fact subject "$(certificate Subject)"
fact issuer "$(certificate Issuer)"
fact not_before "$(certificate 'Start date')"
fact not_after "$(certificate 'Expire date')"
fact alternative_names "$(certificate 'X509v3 Subject Alternative Name')"
read -r verification_code agreed </tmp/verification
fact verification_code "$verification_code"
fact verified_handshake "$agreed"
fact verification "$(sed -n 2p /tmp/verification)"
complete
