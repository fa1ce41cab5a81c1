# What does the URL answer, and how long does each part of the answer take? One GET; no redirect is followed.
#
# Given: TARGET_URL, and its TARGET_HOST and TARGET_PORT.

permitted_addresses "$TARGET_HOST"

printf '$ curl %s (at %s)\n' "$TARGET_URL" "$ADDRESSES" | evidence
pinned_curl --proto =http,https --insecure --connect-timeout 4 --max-time 10 --dump-header - \
    --write-out '%output{/tmp/reading}%{exitcode} %{time_connect} %{time_appconnect} %{time_starttransfer} %{time_total}\n%{errormsg}\n%{http_code} %{http_version} %{remote_ip}\n%{content_type}\n%{redirect_url}\n' \
    --url "$TARGET_URL" | evidence

connection_facts /tmp/reading
fact status "$(sed -n 3p /tmp/reading | cut -d ' ' -f 1)"
fact http_version "$(sed -n 3p /tmp/reading | cut -d ' ' -f 2)"
fact remote_address "$(sed -n 3p /tmp/reading | cut -d ' ' -f 3)"
fact content_type "$(sed -n 4p /tmp/reading)"
fact location "$(sed -n 5p /tmp/reading)"
complete
