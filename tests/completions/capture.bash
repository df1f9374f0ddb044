# The rcfile of an interactive bash that writes what Tab offers into a file, instead of showing it.
# shellcheck shell=bash disable=SC1090,SC1091

PS1='ready> '
[[ ! -v BASH_COMPLETION ]] || source "$BASH_COMPLETION"
if [[ -v STRICT ]]; then
    set -eu
    shopt -s failglob
    COMP_WORDBREAKS=${COMP_WORDBREAKS//[:=]/}
fi
source <(semactl completion bash)
source "$COMPLETIONS/semad.bash"

depth=0
capture() {
    # A completion that is asked for by another one's command is a part of that one.
    if ((depth > 0)); then
        "_$1" "$@"
        return
    fi
    # What Tab does not replace of the word before the cursor.
    local word=${COMP_LINE:0:COMP_POINT} offered
    word=${word##*[[:space:]]}
    word=${word%"$2"}
    depth=1
    "_$1" "$@"
    depth=0
    for offered in "${COMPREPLY[@]}"; do
        printf '%s\n' "$word$offered"
    done >> "$CAPTURED"
    echo 'end of the offers' >> "$CAPTURED"
}

# Writes the arguments that a line came to.
report() {
    printf '[%s]' "$@" >> "$CAPTURED"
    printf '\nend of the offers\n' >> "$CAPTURED"
}

if [[ -v REPORTING ]]; then
    semactl() { report "$@"; }
else
    complete -F capture semactl semad
fi
