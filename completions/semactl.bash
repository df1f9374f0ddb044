# bash completion for semactl

# The aliases of the configuration file: what stands before a = in its table of pools.
_semactl_aliases() {
    local file=${SEMACTL_CONFIG:-${XDG_CONFIG_HOME:-$HOME/.config}/semactl/config.toml}
    [[ -r $file ]] && sed -n '/^\[pools\]/,/^\[/s/^\([A-Za-z0-9_-]*\) *=.*/\1/p' "$file"
}

_semactl() {
    local current=${COMP_WORDS[COMP_CWORD]}
    local previous=${COMP_WORDS[COMP_CWORD - 1]}
    local global='--server --config --output -q --quiet -v --verbose --version -h --help'
    local command='' positionals=0 index word options=''
    COMPREPLY=()

    # What was written so far: the subcommand, and how many words after it are neither options nor values.
    for ((index = 1; index < COMP_CWORD; index++)); do
        word=${COMP_WORDS[index]}
        case $word in
            --)
                [[ $command == run ]] && positionals=2
                ((index++))
                break
                ;;
            --server | --config | --output | --ttl | --wait | -I | -E | --conflict-exit-code | --kill-after | \
                --grace | --count | --save | --lease | --slots | --priority | --holder | --holder-url | --slot | \
                --cooldown | --name | --renewable | --on-lost | --teardown | --fallback | --admin-token)
                ((index++))
                [[ ${COMP_WORDS[index]} == = ]] && ((index++))
                ;;
            -*) ;;
            *)
                if [[ -z $command ]]; then
                    command=$word
                elif ((++positionals == 2)) && [[ $command == run ]]; then
                    break
                fi
                ;;
        esac
    done

    if ((positionals < 2)); then
        case $previous in
            --config)
                COMPREPLY=($(compgen -f -- "$current"))
                return
                ;;
            --output)
                COMPREPLY=($(compgen -W 'text json' -- "$current"))
                return
                ;;
            --server)
                COMPREPLY=($(compgen -W 'http:// https:// unix:/' -- "$current"))
                return
                ;;
            --on-lost)
                COMPREPLY=($(compgen -W 'term ignore' -- "$current") $(compgen -c -- "$current"))
                return
                ;;
            --fallback)
                COMPREPLY=($(compgen -W 'fail run' -- "$current"))
                return
                ;;
            --renewable)
                COMPREPLY=($(compgen -W 'yes no' -- "$current"))
                return
                ;;
            --admin-token)
                COMPREPLY=($(compgen -W 'env: file:' -- "$current"))
                return
                ;;
            --ttl | --wait | -I | -E | --conflict-exit-code | --kill-after | --grace | --count | --save | --lease | \
                --slots | --priority | --holder | --holder-url | --slot | --cooldown | --name | --teardown)
                return
                ;;
        esac
    fi

    # The command that semactl runs is completed as it is on its own.
    [[ $command == run && $positionals == 1 && $current != -* ]] && positionals=2
    if [[ $command == run ]] && ((positionals == 2)); then
        if declare -F _command_offset > /dev/null; then
            _command_offset "$index"
        else
            COMPREPLY=($(compgen -c -- "$current") $(compgen -f -- "$current"))
        fi
        return
    fi

    case $command in
        '')
            options="$global run borrow return keepalive register inspect resize holders who watch revoke delete new"
            options+=' ping pools completion'
            ;;
        run)
            options="$global --ttl --wait --slots --priority --holder --no-keepalive -I -E --conflict-exit-code"
            options+=' --kill-after --grace --on-lost --hold-tree --teardown --fallback --dry-run --'
            ;;
        borrow) options="$global --ttl --wait --lease --slots --priority --holder --holder-url --shell" ;;
        keepalive) options="$global --ttl" ;;
        register) options="$global --count --slot --cooldown --name --renewable" ;;
        new) options="$global --count --save" ;;
        pools) options="$global --admin-token" ;;
        return | inspect | resize | holders | who | watch | revoke | delete | ping) options=$global ;;
        completion) options="$global bash zsh fish" ;;
    esac
    if [[ $current == -* || -z $command || $command == completion ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$current"))
    elif ((positionals == 0)) && [[ $command != @(new|ping|pools) ]]; then
        COMPREPLY=($(compgen -W "$(_semactl_aliases)" -- "$current"))
    fi
}

complete -F _semactl semactl
