#compdef semad
# zsh completion for semad

_semad_store() {
    if compset -P sqlite:; then
        _files
    else
        _alternative 'stores:store:compadd -S "" sqlite\: memory\: redis\:// rediss\:// redis+unix\:// redis+sentinel\://'
    fi
}

_semad() {
    _arguments \
        '*--listen=[where to listen]:address (HOST\:PORT, [IPV6]\:PORT, unix\:/PATH):' \
        '--socket-mode=[mode of the socket files]:mode (0660):' \
        '--socket-group=[group of the socket files]:group:_groups' \
        '--store=[where pools are kept]:store:_semad_store' \
        '--redis-wait-replicas=[on how many replicas a change is before it is answered]:number:' \
        '--redis-password-file=[a file with the password for the Redis]:file:_files' \
        '--admin-token-file=[a file with the token that lists all pools]:file:_files' \
        '--max-ttl=[longest lease]:time:' \
        '--max-wait=[longest wait of one borrow]:time:' \
        '--max-hold=[longest life of a lease that is kept alive]:time:' \
        '--rejoin=[how long a lost borrower may come back]:time:' \
        '--max-count=[most slots a pool may have]:number:' \
        '--max-pools=[most pools there may be]:number:' \
        '--max-waiters=[most borrows that may wait at a time]:number:' \
        '--max-connections=[most connections at a time]:number:' \
        '--threads=[threads that serve connections]:number:' \
        '--log-format=[how the log is written]:format:(text json)' \
        '--log-level=[what is logged at least]:level:(debug info warn error off)' \
        '(- *)'{-h,--help}'[print a help text and exit]' \
        '(- *)--version[print the version and exit]' \
        '1:command:((migrate\:"copy all pools from one store to another"))' \
        '2:store to read:_semad_store' \
        '3:store to fill:_semad_store'
}

# As a file of fpath this is the function's body at its first call; else somebody sources it.
if [[ ${funcstack[1]-} == _semad ]]; then
    _semad "$@"
else
    compdef _semad semad
fi
