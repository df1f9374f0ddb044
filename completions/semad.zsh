#compdef semad
# zsh completion for semad

_semad_store() {
    if compset -P sqlite:; then
        _files
    else
        _alternative 'stores:store:compadd -S "" sqlite\: memory\: redis\:// rediss\:// redis+unix\:// redis+sentinel\:// postgresql\://'
    fi
}

_semad_argument() {
    # Where it is the first word behind the command, nothing else offers them.
    if [[ $PREFIX == -* ]]; then
        _arguments "${flags[@]}"
        return
    fi
    # The words from the command on.
    case ${words[1]}:$CURRENT in
        migrate:[23]) _semad_store ;;
        backup:2) _files ;;
    esac
}

_semad() {
    local -a flags
    flags=(
        '--config=[a file with the settings]:file:_files'
        '*--listen=[where to listen]:address (HOST\:PORT, [IPV6]\:PORT, unix\:/PATH):'
        '--socket-mode=[mode of the socket files]:mode (0660):'
        '--socket-group=[group of the socket files]:group:_groups'
        '--tls-cert=[a file with the certificate of TLS]:file:_files'
        '--tls-key=[a file with the key of that certificate]:file:_files'
        '--tls-client-ca=[a file with the authorities of whose clients only are served]:file:_files'
        '--store=[where pools are kept]:store:_semad_store'
        '--redis-wait-replicas=[on how many replicas a change is before it is answered]:number:'
        '--redis-password-file=[a file with the password for the Redis]:file:_files'
        '--admin-token-file=[a file with the token that lists all pools]:file:_files'
        '--history=[for how long it is kept who had which slot]:time:'
        '--max-ttl=[longest lease]:time:'
        '--max-wait=[longest wait of one borrow]:time:'
        '--max-hold=[longest life of a lease that is kept alive]:time:'
        '--max-callback-wait=[longest wait of a borrower that is to be called]:time:'
        '--rejoin=[how long a lost borrower may come back]:time:'
        '--max-count=[most slots a pool may have]:number:'
        '--max-pools=[most pools there may be]:number:'
        '--max-waiters=[most borrows that may wait at a time]:number:'
        '--max-connections=[most connections at a time]:number:'
        '--threads=[threads that serve connections]:number:'
        '--log-format=[how the log is written]:format:(text json)'
        '--log-level=[what is logged at least]:level:(debug info warn error off)'
        '--access-log[log a line for each request]'
        '*--callback-allow=[whom the server may call]:host, *.DOMAIN, address or network:'
        '--callback-ca=[a file with the authorities of those who are called]:file:_files'
        '--metrics-listen=[where to serve metrics to whoever asks]:address (HOST\:PORT, [IPV6]\:PORT, unix\:/PATH):'
        '--dashboard[serve a page for people]'
        '--dashboard-listen=[where to serve that page]:address (HOST\:PORT, [IPV6]\:PORT, unix\:/PATH):'
        '(- *)'{-h,--help}'[print a help text and exit]'
        '(- *)--version[print the version and exit]'
    )
    (( ! ${words[(I)check]} )) || flags+=('--reload[leave out the store]')
    _arguments "${flags[@]}" \
        '1:command:((check\:"say what would be wrong at a start" pools\:"print the declared pools with their UUIDs" migrate\:"copy all pools from one store to another" backup\:"copy a store that no semad uses into a file"))' \
        '*::store:_semad_argument'
}

# As a file of fpath this is the function's body at its first call; else somebody sources it.
if [[ ${funcstack[1]-} == _semad ]]; then
    _semad "$@"
else
    compdef _semad semad
fi
