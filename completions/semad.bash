# bash completion for semad
_semad() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    case $previous in
        --log-format) mapfile -t COMPREPLY < <(compgen -W 'text json' -- "$current"); return ;;
        --log-level) mapfile -t COMPREPLY < <(compgen -W 'debug info warn error off' -- "$current"); return ;;
        --store) mapfile -t COMPREPLY < <(compgen -W 'sqlite: memory:' -- "$current"); compopt -o nospace; return ;;
        --admin-token-file) mapfile -t COMPREPLY < <(compgen -f -- "$current"); compopt -o filenames; return ;;
        --listen | --max-* | --rejoin | --threads) return ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W '--listen --store --admin-token-file --max-ttl --max-wait --max-hold --rejoin
        --max-count --max-pools --max-waiters --max-connections --threads --log-format --log-level --help --version' -- "$current")
}
complete -F _semad semad
