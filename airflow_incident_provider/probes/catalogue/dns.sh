# Does the name have addresses? Nothing is connected to but the container's resolver.
#
# Given: TARGET_HOST.

answer=$(look_up "$TARGET_HOST" a)
answer6=$(look_up "$TARGET_HOST" aaaa)
printf '$ nslookup %s\n%s\n%s\n' "$TARGET_HOST" "$answer" "$answer6" | evidence

fact resolution "$(printf '%s\n' "$answer" | outcome)"
fact resolution6 "$(printf '%s\n' "$answer6" | outcome)"
fact lookup_ms "$(printf '%s\n' "$answer" | lookup_ms)"
fact addresses "$(answers "$answer" "$answer6")"
fact canonical_name "$(printf '%s\n' "$answer" | sed -n 's/.*canonical name = //p' | tail -n 1)"
complete
