# bash completion for semad
# shellcheck shell=bash

_semad() {
    # Whatever the shell's user has set, we are not to end the shell.
    local -
    set +eu
    local IFS=$' \t\n' typed=${COMP_LINE:0:COMP_POINT} word=${COMP_WORDS[COMP_CWORD]} option prefix='' stem found
    COMPREPLY=()

    typed=${typed##*[[:space:]]}
    option=${COMP_LINE:0:COMP_POINT - ${#typed}}
    option=${option%"${option##*[![:space:]]}"}
    option=${option##*[[:space:]]}
    if [[ $typed == --*=* ]]; then
        option=${typed%%=*}
        prefix=$option=
    fi
    # Bash parts words at = and : too, and replaces only what stands behind them.
    [[ $word != [=:] ]] || word=''
    stem=${typed%"$word"}

    case $option in
        --log-format) found=(text json) ;;
        --log-level) found=(debug info warn error off) ;;
        --store)
            found=(sqlite: memory: redis:// rediss:// redis+unix:// redis+sentinel:// postgresql://)
            if [[ $typed == "$prefix"sqlite:* ]]; then
                mapfile -t found < <(compgen -P sqlite: -f -- "${typed#"$prefix"sqlite:}")
                compopt -o filenames 2> /dev/null
            fi
            ;;
        --config | --admin-token-file | --redis-password-file | --tls-* | --callback-ca)
            mapfile -t found < <(compgen -f -- "${typed#"$prefix"}")
            compopt -o filenames 2> /dev/null
            ;;
        --socket-group)
            mapfile -t found < <(compgen -g -- "${typed#"$prefix"}")
            ;;
        --listen | --metrics-listen | --dashboard-listen | --socket-mode | --redis-wait-replicas | --history | --max-* | --rejoin | \
            --threads | --callback-allow)
            return 0
            ;;
        *)
            [[ -z $prefix ]] || return 0
            if [[ $typed != -* && " ${COMP_WORDS[*]:0:COMP_CWORD} " == *' backup '* ]]; then
                mapfile -t COMPREPLY < <(compgen -f -- "$typed")
                compopt -o filenames 2> /dev/null
                return 0
            fi
            found=(backup check migrate pools --config --listen --socket-mode --socket-group --tls-cert --tls-key --tls-client-ca
                --store --redis-wait-replicas --redis-password-file --admin-token-file --history --max-ttl --max-wait --max-hold
                --max-callback-wait --rejoin --max-count --max-pools --max-waiters
                --max-connections --threads --log-format --log-level --access-log --callback-allow --callback-ca --metrics-listen
                --dashboard --dashboard-listen
                -h --help --version)
            [[ " ${COMP_WORDS[*]:0:COMP_CWORD} " != *' check '* ]] || found+=(--reload)
            ;;
    esac
    for word in "${found[@]/#/"$prefix"}"; do
        [[ $word != "$typed"* ]] || COMPREPLY+=("${word#"$stem"}")
    done
    if [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *[:/] ]]; then compopt -o nospace 2> /dev/null; fi
    return 0
}

complete -F _semad semad
