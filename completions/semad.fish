# fish completion for semad

function __semad_stores -d "Where semad can keep pools"
    set -l token (commandline -ct)
    set token (string replace -r -- '^--store=' '' $token)
    if string match -q 'sqlite:*' -- $token
        printf 'sqlite:%s\n' (__fish_complete_path (string replace -r '^sqlite:' '' -- $token))
    else
        printf '%s\n' sqlite: memory: redis:// rediss:// redis+unix:// redis+sentinel://
    end
end

complete -c semad -f
complete -c semad -n __fish_use_subcommand -a migrate -d 'Copy all pools from one store to another'
complete -c semad -n '__fish_seen_subcommand_from migrate' -a '(__semad_stores)'
complete -c semad -l listen -x -d 'Where to listen: HOST:PORT, [IPV6]:PORT or unix:/PATH'
complete -c semad -l socket-mode -x -d 'Mode of the socket files'
complete -c semad -l socket-group -x -a '(__fish_complete_groups)' -d 'Group of the socket files'
complete -c semad -l store -x -a '(__semad_stores)' -d 'Where pools are kept'
complete -c semad -l redis-wait-replicas -x -d 'On how many replicas a change is before it is answered'
complete -c semad -l redis-password-file -r -F -d 'A file with the password for the Redis'
complete -c semad -l admin-token-file -r -F -d 'A file with the token that lists all pools'
complete -c semad -l max-ttl -x -d 'Longest lease'
complete -c semad -l max-wait -x -d 'Longest wait of one borrow'
complete -c semad -l max-hold -x -d 'Longest life of a lease that is kept alive'
complete -c semad -l rejoin -x -d 'How long a lost borrower may come back'
complete -c semad -l max-count -x -d 'Most slots a pool may have'
complete -c semad -l max-pools -x -d 'Most pools there may be'
complete -c semad -l max-waiters -x -d 'Most borrows that may wait at a time'
complete -c semad -l max-connections -x -d 'Most connections at a time'
complete -c semad -l threads -x -d 'Threads that serve connections'
complete -c semad -l log-format -x -a 'text json' -d 'How the log is written'
complete -c semad -l log-level -x -a 'debug info warn error off' -d 'What is logged at least'
complete -c semad -s h -l help -d 'Print a help text and exit'
complete -c semad -l version -d 'Print the version and exit'
