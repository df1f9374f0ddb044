# fish completion for semad

function __semad_stores -d "Where semad can keep pools"
    set -l token (commandline -ct)
    set token (string replace -r -- '^--store=' '' $token)
    if string match -q 'sqlite:*' -- $token
        printf 'sqlite:%s\n' (__fish_complete_path (string replace -r '^sqlite:' '' -- $token))
    else
        printf '%s\n' sqlite: memory: redis:// rediss:// redis+unix:// redis+sentinel:// postgresql://
    end
end

complete -c semad -f
complete -c semad -n __fish_use_subcommand -a check -d 'Say what would be wrong at a start'
complete -c semad -n __fish_use_subcommand -a pools -d 'Print the declared pools with their UUIDs'
complete -c semad -n __fish_use_subcommand -a migrate -d 'Copy all pools from one store to another'
complete -c semad -n __fish_use_subcommand -a backup -d 'Copy a store that no semad uses into a file'
complete -c semad -n '__fish_seen_subcommand_from check' -l reload -d 'Leave out the store'
complete -c semad -n '__fish_seen_subcommand_from backup' -F
complete -c semad -n '__fish_seen_subcommand_from migrate' -a '(__semad_stores)'
complete -c semad -l config -r -F -d 'A file with the settings'
complete -c semad -l listen -x -d 'Where to listen: HOST:PORT, [IPV6]:PORT or unix:/PATH'
complete -c semad -l socket-mode -x -d 'Mode of the socket files'
complete -c semad -l socket-group -x -a '(__fish_complete_groups)' -d 'Group of the socket files'
complete -c semad -l tls-cert -r -F -d 'A file with the certificate of TLS'
complete -c semad -l tls-key -r -F -d 'A file with the key of that certificate'
complete -c semad -l tls-client-ca -r -F -d 'A file with the authorities of whose clients only are served'
complete -c semad -l store -x -a '(__semad_stores)' -d 'Where pools are kept'
complete -c semad -l redis-wait-replicas -x -d 'On how many replicas a change is before it is answered'
complete -c semad -l redis-password-file -r -F -d 'A file with the password for the Redis'
complete -c semad -l admin-token-file -r -F -d 'A file with the token that lists all pools'
complete -c semad -l history -x -d 'For how long it is kept who had which slot'
complete -c semad -l max-ttl -x -d 'Longest lease'
complete -c semad -l max-wait -x -d 'Longest wait of one borrow'
complete -c semad -l max-hold -x -d 'Longest life of a lease that is kept alive'
complete -c semad -l max-callback-wait -x -d 'Longest wait of a borrower that is to be called'
complete -c semad -l rejoin -x -d 'How long a lost borrower may come back'
complete -c semad -l max-count -x -d 'Most slots a pool may have'
complete -c semad -l max-pools -x -d 'Most pools there may be'
complete -c semad -l max-waiters -x -d 'Most borrows that may wait at a time'
complete -c semad -l max-connections -x -d 'Most connections at a time'
complete -c semad -l threads -x -d 'Threads that serve connections'
complete -c semad -l log-format -x -a 'text json' -d 'How the log is written'
complete -c semad -l log-level -x -a 'debug info warn error off' -d 'What is logged at least'
complete -c semad -l access-log -d 'Log a line for each request'
complete -c semad -l callback-allow -x -d 'Whom the server may call: a host, *.DOMAIN, an address or a network'
complete -c semad -l callback-ca -r -F -d 'A file with the authorities of those who are called'
complete -c semad -l metrics-listen -x -d 'Where to serve metrics to whoever asks'
complete -c semad -l dashboard -d 'Serve a page for people'
complete -c semad -l dashboard-listen -x -d 'Where to serve that page'
complete -c semad -s h -l help -d 'Print a help text and exit'
complete -c semad -l version -d 'Print the version and exit'
