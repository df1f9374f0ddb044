#compdef semactl
# zsh completion for semactl

_semactl_pool() {
    _alternative 'refs:pool:(env\: file\:)' 'aliases:alias:_semactl_aliases'
}

# The aliases of the configuration file: what stands before a = in its table of pools.
_semactl_aliases() {
    local file=${SEMACTL_CONFIG:-${XDG_CONFIG_HOME:-$HOME/.config}/semactl/config.toml}
    local -a aliases
    [[ -r $file ]] && aliases=(${(f)"$(sed -n '/^\[pools\]/,/^\[/s/^\([A-Za-z0-9_-]*\) *=.*/\1/p' $file)"})
    _describe 'alias' aliases
}

_semactl() {
    local context state line
    typeset -A opt_args
    local -a global commands
    global=(
        '--server[the server]:URL:(http\:// https\:// unix\:/)'
        '--config[the configuration file]:file:_files'
        '--output[how results are printed]:form:(text json)'
        '(-q --quiet -v --verbose)'{-q,--quiet}'[say nothing but errors]'
        '(-q --quiet -v --verbose)'{-v,--verbose}'[say what is done]'
        '--version[print the version and exit]'
        '(-h --help)'{-h,--help}'[print help and exit]'
    )
    commands=(
        'run:run a command while it holds a slot'
        'borrow:borrow a slot and print its lease'
        'return:return a slot before its lease ends'
        'keepalive:give a lease a new end'
        'register:make a pool, or change how many slots it has'
        'inspect:print how many slots a pool has and how many are lent'
        'resize:change how many slots a pool has by so many'
        'holders:print who holds slots and who waits for one'
        'who:print who holds slots and who waits for one'
        'watch:show who holds slots and who waits, as it changes'
        'revoke:take a slot from whoever holds it'
        'delete:delete a pool with all its leases'
        'new:make a pool with a fresh UUID and print that'
        'ping:check that the server answers'
        'pools:print all pools of the server, for its administrator'
        'completion:print the completion script for a shell'
    )

    _arguments -C $global '1:command:->command' '*::argument:->argument' && return
    case $state in
        command)
            _describe 'command' commands
            ;;
        argument)
            case $words[1] in
                run)
                    _arguments $global \
                        '--ttl[how long the slot stays lent if this machine dies]:time' \
                        '--wait[how long to wait for a slot]:time' \
                        '--slots[how many slots of each pool, all or none]:number' \
                        '--priority[who has a higher one is served before]:number' \
                        '--holder[what the holder is called]:name' \
                        '--no-keepalive[stop the command before its ttl ends]' \
                        '-I[replace this token with the position]:token' \
                        '(-E --conflict-exit-code)'{-E,--conflict-exit-code}'[exit status when there was no slot]:status' \
                        '--kill-after[kill this long after an INT or TERM]:time' \
                        '--grace[time between TERM and KILL when the lease ends]:time' \
                        '--on-lost[what to do when the lease is gone]:what:(term ignore)' \
                        '--hold-tree[hold the slot until the last descendant has ended]' \
                        '--teardown[a shell command to run while the slot is still held]:line' \
                        '--fallback[what to do without a server]:what:(fail run)' \
                        '--dry-run[say what would be done, and do nothing]' \
                        '1:pool:_semactl_pool' '*::command:_normal'
                    ;;
                borrow)
                    _arguments $global \
                        '--ttl[how long the slot is held]:time' \
                        '--wait[how long to wait for a slot]:time' \
                        '--lease[the UUID that the lease is to have]:lease' \
                        '--slots[how many slots, all or none]:number' \
                        '--priority[who has a higher one is served before]:number' \
                        '--holder[what the borrower is called]:name' \
                        '--holder-url[a link that is shown with it]:URL' \
                        '--shell[print lines for a shell to evaluate]' \
                        '1:pool:_semactl_pool'
                    ;;
                return)
                    _arguments $global '1:pool:_semactl_pool' '2:lease:(env\:SEMA_LEASE)'
                    ;;
                keepalive)
                    _arguments $global \
                        '--ttl[how long the slot is held from now on]:time' \
                        '1:pool:_semactl_pool' '2:lease:(env\:SEMA_LEASE)'
                    ;;
                register)
                    _arguments $global \
                        '--count[how many slots the pool has]:number' \
                        '*--slot[what the next slot is for its borrower]:payload' \
                        '--cooldown[how long a slot rests before it is lent again]:time' \
                        '--name[what the pool is called]:name' \
                        '--renewable[whether leases may be kept alive]:word:(yes no)' \
                        '1:pool:_semactl_pool'
                    ;;
                resize)
                    _arguments $global '1:pool:_semactl_pool' '2:number:(+1 -1)'
                    ;;
                revoke)
                    _arguments $global '1:pool:_semactl_pool' '2:position:'
                    ;;
                inspect | holders | who | watch | delete)
                    _arguments $global '1:pool:_semactl_pool'
                    ;;
                new)
                    _arguments $global \
                        '--count[how many slots the pool has]:number' \
                        '--save[save the UUID under this alias]:alias'
                    ;;
                ping)
                    _arguments $global
                    ;;
                pools)
                    _arguments $global '--admin-token[the admin token]:token:(env\: file\:)'
                    ;;
                completion)
                    _arguments $global '1:shell:(bash zsh fish)'
                    ;;
            esac
            ;;
    esac
}

if [[ $funcstack[1] == _semactl ]]; then
    _semactl "$@"
else
    compdef _semactl semactl
fi
