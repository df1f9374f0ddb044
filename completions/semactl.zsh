#compdef semactl
# zsh completion for semactl

# The aliases of the configuration file, which the line may name.
_semactl_aliases() {
    local file=${SEMACTL_CONFIG:-${XDG_CONFIG_HOME:-$HOME/.config}/semactl/config.toml} word
    local -i i
    for ((i = 2; i <= $#semactl_words; i++)); do
        word=$semactl_words[i]
        case $word in
            --) break ;;
            --config) file=${semactl_words[i + 1]-} ;;
            --config=*) file=${word#*=} ;;
        esac
    done
    file=${(Q)file}
    [[ $file != '~/'* ]] || file=$HOME/${file#??}
    reply=()
    [[ -f $file && -r $file ]] || return
    local ws='[[:blank:]]*' name='[[:blank:]]*["'\'']?([A-Za-z0-9_-]+)["'\'']?[[:blank:]]*'
    reply=(${(f)"$(sed -nE -e "/^$ws\[${ws}pools$ws\]/,/^$ws\[/s/^${name}[=.].*/\1/p" \
        -e "s/^$ws\[${ws}pools$ws\.$name\].*/\1/p" -e "s/^${ws}pools$ws\.${name}[=.].*/\1/p" $file)"})
}

# What is not written out: env:NAME or file:PATH.
_semactl_reference() {
    if compset -P env:; then
        _parameters -g '*export*'
    elif compset -P file:; then
        _files
    else
        compadd "$@" -S '' env: file:
    fi
}

# Those that the line does not name yet.
_semactl_alias() {
    local -a reply
    _semactl_aliases
    reply=(${reply:|semactl_pools})
    compadd "$@" -a reply
}

_semactl_pool() {
    _alternative 'aliases:alias:_semactl_alias' 'references:pool:_semactl_reference'
}

_semactl_lease() {
    _alternative 'leases:lease:(env\:SEMA_LEASE)' 'references:lease:_semactl_reference'
}

# Another pool, or the command: all commands would hide the pools.
_semactl_pool_or_command() {
    local -a alternatives
    alternatives=('aliases:alias:_semactl_alias' 'references:pool:_semactl_reference')
    if (($#semactl_pools > 0)); then
        alternatives+=('marks:end of the pools:(--)')
        if [[ $#semactl_pools == 1 && -z $semactl_marked && -n $PREFIX && $PREFIX != (-|*:)* ]]; then
            alternatives+=('commands:command:_command_names -e')
        fi
    fi
    _alternative $alternatives
}

_semactl_run() {
    local -a semactl_pools reply
    local semactl_marked='' word
    local -i i begin=0
    (($words[(Ie)--] > 0)) && semactl_marked=yes
    # Where the command begins: behind --, or with the second word if that is no pool and no -- is to come.
    for ((i = 2; i < CURRENT; i++)); do
        word=$words[i]
        case $word in
            --)
                begin=i+1
                break
                ;;
            --server | --cacert | --cert | --key | --config | --output | --ttl | --wait | --slots | --priority | --holder | -I | -E | \
                --conflict-exit-code | --kill-after | --grace | --on-lost | --teardown | --fallback | --lease | --fence)
                i+=1
                ;;
            -?*) ;;
            *)
                semactl_pools+=("$word")
                if (($#semactl_pools == 2)) && [[ -z $semactl_marked && $word != (env|file):* &&
                    $word != [[:xdigit:]]##-[[:xdigit:]-]## ]]; then
                    _semactl_aliases
                    if ((${reply[(Ie)$word]} == 0)); then
                        begin=i
                        break
                    fi
                fi
                ;;
        esac
    done
    # The command is completed as it is on its own.
    if ((begin > 0)); then
        words=("${(@)words[begin,-1]}")
        CURRENT+=1-begin
        _normal
        return
    fi

    _arguments $semactl_global \
        '--ttl=[how long the slot stays lent if this machine dies]:time' \
        '--wait=[how long to wait for a slot]:time' \
        '--lease=[borrow nothing, and run under this lease]:lease:_semactl_reference' \
        '--fence=[only the lease that has this fence]:fence:' \
        '--slots=[how many slots of each pool, all or none]:number' \
        '--priority=[a higher number is served first]:number' \
        '--holder=[what the holder is called]:name' \
        '--no-keepalive[stop the command before its ttl ends]' \
        '-I+[replace this token with the position]:token' \
        '(-E --conflict-exit-code)'{-E+,--conflict-exit-code=}'[exit status when there was no slot]:status' \
        '--kill-after=[kill this long after a signal asked to stop]:time' \
        '--grace=[time between TERM and KILL when the lease ends]:time' \
        '--on-lost=[what to do when the lease is lost]:what:(term ignore)' \
        '--die-with-parent[stop when the process that started semactl is gone]' \
        '--hold-tree[hold the slot until the last descendant has ended]' \
        '--teardown=[a shell command to run while the slot is still held]:line' \
        '--fallback=[what to do without a server]:what:(fail run)' \
        '--dry-run[say what would be done, and do nothing]' \
        '*:pool:_semactl_pool_or_command'
}

_semactl_dispatch() {
    _alternative 'actions:action:(stop keepalive status drain)' 'files:file:_files'
}

_semactl() {
    local curcontext=$curcontext context state line
    typeset -A opt_args
    local -a semactl_global semactl_commands semactl_words semactl_pools
    semactl_words=("${(@)words[1,CURRENT-1]}")
    semactl_global=(
        '--server=[the server]:URL:(http\:// https\:// unix\:/)'
        '--cacert=[the authorities to trust]:file:_files'
        '--cert=[the certificate to show]:file:_files'
        "--key=[the certificate's key]:file:_files"
        '--config=[the configuration file]:file:_files'
        '--output=[how results are printed]:form:(text json)'
        '(-q --quiet -v --verbose)'{-q,--quiet}'[say nothing but errors]'
        '(-q --quiet -v --verbose)'{-v,--verbose}'[say what is done]'
        '--version[print the version and exit]'
        '(-h --help)'{-h,--help}'[print help and exit]'
    )
    semactl_commands=(
        'run:run a command while it holds a slot'
        'borrow:borrow a slot and print its lease'
        'return:return a slot before its lease ends'
        'keepalive:give a lease a new end'
        'register:make a pool, or change one'
        'inspect:print how many slots a pool has and how many are lent'
        'resize:change how many slots a pool has by so many'
        'holders:print the holders of slots and the waiters'
        'who:print the holders of slots and the waiters'
        'history:print who had the slots of a pool'
        'stats:print how a pool was used, and what more slots would do'
        'callbacks:print who is to be called, or cancel that'
        'watch:show the holders and the waiters, as they change'
        'revoke:take a slot from its holder'
        'slot:take a slot out of service, or put it back'
        'delete:delete a pool with all its leases'
        'new:make a pool with a fresh UUID and print that'
        'ping:check that the server answers'
        'pools:print all pools of the server, for its administrator'
        'backup:copy all that the server keeps into a file, for its administrator'
        'dispatch:keep the slots of a pool busy with tasks from sources of work'
        'completion:print the completion script for a shell'
        'help:print this help, or that of a command'
    )

    _arguments -C -A '-*' $semactl_global '1:command:->command' '*::argument:->argument' && return
    case $state in
        command)
            _describe 'command' semactl_commands
            ;;
        argument)
            case $words[1] in
                run)
                    _semactl_run
                    ;;
                borrow)
                    _arguments $semactl_global \
                        '--ttl=[how long the slot is held]:time' \
                        '--wait=[how long to wait for a slot]:time' \
                        '--lease=[the UUID that the lease is to have]:lease:_semactl_reference' \
                        '--slots=[how many slots, all or none]:number' \
                        '--priority=[a higher number is served first]:number' \
                        '--holder=[what the borrower is called]:name' \
                        '--holder-url=[a link that is shown with it]:URL' \
                        '--callback=[who is called once there is a slot]:URL:(https\://)' \
                        '*--callback-header=[a header of that call]:header' \
                        '--callback-body=[JSON that is sent along]:JSON' \
                        '--callback-secret=[what it is signed with]:secret:_semactl_reference' \
                        '--shell[print lines for a shell to evaluate]' \
                        '1:pool:_semactl_pool'
                    ;;
                return)
                    _arguments $semactl_global \
                        '--wait=[how long to try while the server is away]:time' \
                        '--fence=[only the lease that has this fence]:fence:' \
                        '1:pool:_semactl_pool' '2:lease:_semactl_lease'
                    ;;
                keepalive)
                    _arguments $semactl_global \
                        '--ttl=[how long the slot is held from now on]:time' \
                        '--wait=[how long to try while the server is away]:time' \
                        '--fence=[only the lease that has this fence]:fence:' \
                        '1:pool:_semactl_pool' '2:lease:_semactl_lease'
                    ;;
                register)
                    _arguments $semactl_global \
                        '--count=[how many slots the pool has]:number' \
                        '*--slot=[what the next slot is for its borrower]:payload' \
                        '--cooldown=[how long a slot rests before it is lent again]:time' \
                        '--name=[what the pool is called]:name' \
                        '--renewable=[whether leases may be kept alive]:word:(yes no)' \
                        '--pick=[which free slot is lent]:word:(lowest idle)' \
                        '1:pool:_semactl_pool'
                    ;;
                resize)
                    _arguments $semactl_global '1:pool:_semactl_pool' '2:number:(+1 -1)'
                    ;;
                revoke)
                    _arguments $semactl_global \
                        '--fence=[only the lease that has this fence]:fence:' \
                        '(-y --yes)'{-y,--yes}'[do not ask]' \
                        '1:pool:_semactl_pool' '2:position:'
                    ;;
                slot)
                    _arguments $semactl_global \
                        '--reason=[why it is out of service]:text:' \
                        '1:pool:_semactl_pool' '2:position:' '3:state:(out in)'
                    ;;
                callbacks)
                    _arguments $semactl_global \
                        '--cancel=[leave the queue by the lease]:lease:_semactl_reference' \
                        '1:pool:_semactl_pool'
                    ;;
                inspect | holders | who | watch)
                    _arguments $semactl_global '1:pool:_semactl_pool'
                    ;;
                history)
                    _arguments $semactl_global \
                        '--since=[only leases that ended within this time]:time' \
                        '--limit=[how many at the most]:number' \
                        '--position=[only leases of this slot]:number' \
                        '1:pool:_semactl_pool'
                    ;;
                stats)
                    _arguments $semactl_global \
                        '--since=[only what happened within this time]:time' \
                        '--what-if[show waits with other counts too]' \
                        '1:pool:_semactl_pool'
                    ;;
                delete)
                    _arguments $semactl_global \
                        '--forget[take its alias out of the configuration file]' \
                        '(-y --yes)'{-y,--yes}'[do not ask]' \
                        '1:pool:_semactl_pool'
                    ;;
                new)
                    _arguments $semactl_global \
                        '--count=[how many slots the pool has]:number' \
                        '--name=[what the pool is called]:name' \
                        '--save=[save the UUID under this alias]:alias'
                    ;;
                ping)
                    _arguments $semactl_global
                    ;;
                pools)
                    _arguments $semactl_global '--admin-token=[the admin token]:token:_semactl_reference'
                    ;;
                backup)
                    _arguments $semactl_global '--admin-token=[the admin token]:token:_semactl_reference' \
                        '1:file:_files'
                    ;;
                dispatch)
                    _arguments $semactl_global \
                        '--once[one pass, for cron]' \
                        '--patience=[how long to wait for commands after a TERM]:time' \
                        '--wait=[how long to try, or to wait for the tasks of a drain]:time' \
                        '--undo[of drain, put the slots back into service]' \
                        '1:file or action:_semactl_dispatch' '2:id or file:_files' '3:file:_files'
                    ;;
                completion)
                    _arguments $semactl_global '1:shell:(bash zsh fish)'
                    ;;
                help)
                    _arguments $semactl_global "1:command:(${(j: :)${(@)semactl_commands%%:*}})"
                    ;;
            esac
            ;;
    esac
}

# As a file of fpath this is the function's body at its first call; else somebody sources it.
if [[ ${funcstack[1]-} == _semactl ]]; then
    _semactl "$@"
else
    compdef _semactl semactl
fi
