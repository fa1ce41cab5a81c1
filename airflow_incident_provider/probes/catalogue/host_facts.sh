# The control: is the container's own side in order? If it is not, what the other probes say is about us.
#
# The resolver is asked for the root's name servers, which every resolver has an opinion about; that it answers
# is what counts, not what.

address=$(ip -o addr show scope global 2>/dev/null | awk '{ print $4 }' | head -n 4 | tr '\n' ' ')
route=$(ip route show 2>/dev/null | head -n 4)
answer=$(nslookup -debug -type=ns -timeout=2 -retry=2 . 2>&1 | head -c 4096)

{
    printf '$ ip route\n%s\n' "$route"
    printf '$ nslookup -type=ns .\n%s\n' "$answer"
    printf '$ uptime\n%s\n' "$(uptime)"
} | evidence

fact addresses "$address"
fact routes "$(printf '%s' "$route" | grep -c .)"
fact default_route "$(printf '%s' "$route" | grep -q '^default' && echo yes || echo no)"
fact loopback "$(ip -o addr show dev lo 2>/dev/null | grep -q '127\.0\.0\.1' && echo yes || echo no)"
fact resolver "$(printf '%s\n' "$answer" | outcome)"
fact resolver_ms "$(printf '%s\n' "$answer" | lookup_ms)"
fact uptime_s "$(cut -d . -f 1 /proc/uptime)"
fact load_1m "$(cut -d ' ' -f 1 /proc/loadavg)"
fact cpus "$(grep -c ^processor /proc/cpuinfo)"
fact memory_total_kb "$(sed -n 's/^MemTotal: *\([0-9]*\).*/\1/p' /proc/meminfo)"
fact memory_available_kb "$(sed -n 's/^MemAvailable: *\([0-9]*\).*/\1/p' /proc/meminfo)"
complete
