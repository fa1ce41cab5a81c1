# What a probe prints. A fact is a line "@name=value"; every line that somebody else wrote (a server, a tool) gets
# "| " before it, so that nobody but the script can state a fact.

# fact NAME VALUE...: state a fact, on one line and of bounded length whatever the value holds.
fact() {
    fact_name=$1
    shift
    printf '@%s=%s\n' "$fact_name" "$(printf '%s' "$*" | tr -d '\000-\037\177' | cut -c 1-500)"
}

# evidence: pass on raw output from standard input, marked, at most 8 KB of it.
evidence() {
    head -c 8192 | tr -d '\000' | sed 's/^/| /'
    printf '\n'
}

# complete: say that the script came to its end; without it nothing the script said counts.
complete() {
    fact complete yes
    exit 0
}

# refuse WORDS: say why the target is not touched, and end.
refuse() {
    fact target_refused "$*"
    complete
}
