# What an interactive zsh reads at its start, to write what Tab offers into a file, instead of showing it.

PS1='ready> '
[[ ! -v STRICT ]] || setopt nounset shwordsplit
# Reading what hundreds of other programs' completions are for would take most of the time. Where zsh has its own
# in folders of their own, those are enough; functions of the others are still found when they are called.
whole=($fpath)
own=(${(M)fpath:#*/Completion/(Base|Zsh)})
# compinit looks for more where the folder above them comes first.
if (($#own > 0)); then fpath=($own ${(M)fpath:#*/Completion}); fi
[[ -v SOURCED ]] || fpath=($FUNCTIONS $fpath)
autoload -Uz compinit
compinit -u -D
fpath=($fpath $whole)
autoload -Uz ${^fpath}/_*(N:t)

if [[ -v SOURCED ]]; then
    source <(semactl completion zsh)
    source $COMPLETIONS/semad.zsh
fi

if [[ -v REPORTING ]]; then
    # Writes the arguments that a line came to.
    semactl() {
        print -r -- ${(j::):-"[$^@]"} >> $CAPTURED
        print 'end of the offers' >> $CAPTURED
    }
    return
fi

# All that is offered passes through here, and so do questions about what would match.
compadd() {
    if [[ ${@[1,(i)(-|--)]} == *-[OAD]\ * ]]; then
        builtin compadd "$@"
        return
    fi
    local -a captured_matches captured_prefix captured_hidden
    zparseopts -E P:=captured_prefix p:=captured_hidden
    builtin compadd -A captured_matches "$@"
    local match
    for match in "${captured_matches[@]}"; do
        print -r -- "$IPREFIX${captured_prefix[2]-}${captured_hidden[2]-}$match"
    done >> $CAPTURED
    builtin compadd "$@"
}

capture() {
    _main_complete
    compstate[insert]='' compstate[list]=''
    print 'end of the offers' >> $CAPTURED
}
zle -C capture complete-word capture
bindkey -e
bindkey '^I' capture
