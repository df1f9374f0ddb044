# fish completion for semactl

set -l commands run borrow return keepalive register inspect resize holders who watch revoke delete new ping
set -a commands pools completion

function __semactl_aliases -d "The aliases of semactl's configuration file"
    set -l base $XDG_CONFIG_HOME
    test -n "$base"; or set base ~/.config
    set -l file $SEMACTL_CONFIG
    test -n "$file"; or set file $base/semactl/config.toml
    test -r "$file"; and sed -n '/^\[pools\]/,/^\[/s/^\([A-Za-z0-9_-]*\) *=.*/\1/p' "$file"
    printf '%s\n' env: file:
end

# How many words stand before the command that `semactl run` is to run; fails where there is no POOL yet.
function __semactl_words_before_command
    set -l words (commandline -opc)
    set -l named 0
    set -l index 2
    while test $index -le (count $words)
        switch $words[$index]
            case --
                echo $index
                return 0
            case --server --config --output --ttl --wait --slots --priority --holder -I -E --conflict-exit-code \
                --kill-after --grace --on-lost --teardown --fallback
                set index (math $index + 1)
            case '-*'
            case '*'
                set named (math $named + 1)
                if test $named -eq 3
                    echo (math $index - 1)
                    return 0
                end
        end
        set index (math $index + 1)
    end
    test $named -ge 2; or return 1
    count $words
end

complete -c semactl -f

complete -c semactl -l server -x -a 'http:// https:// unix:/' -d 'The server'
complete -c semactl -l config -r -F -d 'The configuration file'
complete -c semactl -l output -x -a 'text json' -d 'How results are printed'
complete -c semactl -s q -l quiet -d 'Say nothing but errors'
complete -c semactl -s v -l verbose -d 'Say what is done'
complete -c semactl -l version -d 'Print the version and exit'
complete -c semactl -s h -l help -d 'Print help and exit'

complete -c semactl -n "not __fish_seen_subcommand_from $commands" -a run -d 'Run a command while it holds a slot'
complete -c semactl -n "not __fish_seen_subcommand_from $commands" -a borrow -d 'Borrow a slot and print its lease'
complete -c semactl -n "not __fish_seen_subcommand_from $commands" -a return -d 'Return a slot before its lease ends'
complete -c semactl -n "not __fish_seen_subcommand_from $commands" -a keepalive -d 'Give a lease a new end'
complete -c semactl -n "not __fish_seen_subcommand_from $commands" -a register -d 'Make a pool, or change its size'
complete -c semactl -n "not __fish_seen_subcommand_from $commands" -a inspect -d 'Print how many slots are lent'
complete -c semactl -n "not __fish_seen_subcommand_from $commands" -a resize -d 'Change how many slots a pool has'
complete -c semactl -n "not __fish_seen_subcommand_from $commands" -a holders -d 'Print who holds slots and who waits'
complete -c semactl -n "not __fish_seen_subcommand_from $commands" -a who -d 'Print who holds slots and who waits'
complete -c semactl -n "not __fish_seen_subcommand_from $commands" -a watch -d 'Show who holds and waits, as it changes'
complete -c semactl -n "not __fish_seen_subcommand_from $commands" -a revoke -d 'Take a slot from whoever holds it'
complete -c semactl -n "not __fish_seen_subcommand_from $commands" -a delete -d 'Delete a pool with all its leases'
complete -c semactl -n "not __fish_seen_subcommand_from $commands" -a new -d 'Make a pool with a fresh UUID'
complete -c semactl -n "not __fish_seen_subcommand_from $commands" -a ping -d 'Check that the server answers'
complete -c semactl -n "not __fish_seen_subcommand_from $commands" -a pools -d 'Print all pools, for the administrator'
complete -c semactl -n "not __fish_seen_subcommand_from $commands" -a completion -d 'Print a completion script'

complete -c semactl -n '__fish_seen_subcommand_from borrow return keepalive register inspect resize holders who watch revoke delete' \
    -a '(__semactl_aliases)'
complete -c semactl -n '__fish_seen_subcommand_from run; and not __semactl_words_before_command > /dev/null' \
    -a '(__semactl_aliases)'

complete -c semactl -n '__fish_seen_subcommand_from run borrow keepalive' -l ttl -x -d 'How long the slot is held at most'
complete -c semactl -n '__fish_seen_subcommand_from run borrow' -l wait -x -d 'How long to wait for a slot'
complete -c semactl -n '__fish_seen_subcommand_from run' -s I -x -d 'Replace this token with the position'
complete -c semactl -n '__fish_seen_subcommand_from run' -s E -l conflict-exit-code -x -d 'Exit status without a slot'
complete -c semactl -n '__fish_seen_subcommand_from run' -l kill-after -x -d 'Kill this long after an INT or TERM'
complete -c semactl -n '__fish_seen_subcommand_from run' -l grace -x -d 'From TERM to KILL when the lease ends'
complete -c semactl -n '__fish_seen_subcommand_from run' -l no-keepalive -d 'Stop the command before its ttl ends'
complete -c semactl -n '__fish_seen_subcommand_from run' -l on-lost -x -a 'term ignore' -d 'When the lease is gone'
complete -c semactl -n '__fish_seen_subcommand_from run' -l hold-tree -d 'Hold the slot for all descendants'
complete -c semactl -n '__fish_seen_subcommand_from run' -l teardown -x -d 'A shell command while the slot is held'
complete -c semactl -n '__fish_seen_subcommand_from run' -l fallback -x -a 'fail run' -d 'Without a server'
complete -c semactl -n '__fish_seen_subcommand_from run' -l dry-run -d 'Say what would be done'
complete -c semactl -n '__fish_seen_subcommand_from run; and __semactl_words_before_command > /dev/null' \
    -a '(__fish_complete_subcommand --fcs-skip=(__semactl_words_before_command))'
complete -c semactl -n '__fish_seen_subcommand_from borrow' -l lease -x -d 'The UUID that the lease is to have'
complete -c semactl -n '__fish_seen_subcommand_from run borrow' -l slots -x -d 'How many slots, all or none'
complete -c semactl -n '__fish_seen_subcommand_from run borrow' -l priority -x -d 'Who has a higher one is served before'
complete -c semactl -n '__fish_seen_subcommand_from run borrow' -l holder -x -d 'What the borrower is called'
complete -c semactl -n '__fish_seen_subcommand_from borrow' -l holder-url -x -d 'A link that is shown with it'
complete -c semactl -n '__fish_seen_subcommand_from borrow' -l shell -d 'Print lines for a shell to evaluate'
complete -c semactl -n '__fish_seen_subcommand_from register new' -l count -x -d 'How many slots the pool has'
complete -c semactl -n '__fish_seen_subcommand_from register' -l slot -x -d 'What the next slot is for its borrower'
complete -c semactl -n '__fish_seen_subcommand_from register' -l cooldown -x -d 'How long a slot rests'
complete -c semactl -n '__fish_seen_subcommand_from register' -l name -x -d 'What the pool is called'
complete -c semactl -n '__fish_seen_subcommand_from register' -l renewable -x -a 'yes no' -d 'May leases be kept alive'
complete -c semactl -n '__fish_seen_subcommand_from new' -l save -x -d 'Save the UUID under this alias'
complete -c semactl -n '__fish_seen_subcommand_from pools' -l admin-token -x -a 'env: file:' -d 'The admin token'
complete -c semactl -n '__fish_seen_subcommand_from completion' -a 'bash zsh fish'
