# fish completion for semactl

# What stands before the cursor: the subcommand (or nothing, in an empty line); the number of the word that begins
# the command which `run` is to run, or 0; then the words behind the subcommand that are neither options nor values.
function __semactl_line
    set -l words (commandline -opc)
    set -l whole (commandline -op)
    set -l command ''
    set -l begin 0
    set -l named
    set -l index 2
    while test $index -le (count $words)
        switch $words[$index]
            case --
                test "$command" = run; and set begin (math $index + 1)
                break
            case --server --cacert --cert --key --config --output --ttl --wait --slots --priority --holder -I -E --conflict-exit-code \
                --kill-after --grace --on-lost --teardown --fallback --lease --holder-url --count --slot --cooldown \
                --name --renewable --pick --fence --reason --save --admin-token --cancel --patience --since --limit --position \
                --callback --callback-header --callback-body --callback-secret
                set index (math $index + 1)
            case '-*'
            case '*'
                if test -z "$command"
                    set command $words[$index]
                else
                    set -a named $words[$index]
                    # The second word is a pool like the first one, or begins the command if no -- is to come.
                    if test "$command" = run; and test (count $named) -eq 2
                        and not contains -- -- $whole[$index..-1]
                        and not __semactl_is_pool $words[$index]
                        set begin $index
                        break
                    end
                end
        end
        set index (math $index + 1)
    end
    printf '%s\n' "$command" $begin $named
end

function __semactl_aliases -d "The aliases of semactl's configuration file"
    set -l base $XDG_CONFIG_HOME
    test -n "$base"; or set base ~/.config
    set -l file $SEMACTL_CONFIG
    test -n "$file"; or set file $base/semactl/config.toml
    set -l previous
    for word in (commandline -opc)
        test "$word" = --; and break
        test "$previous" = --config; and set file $word
        string match -q -- '--config=*' $word; and set file (string replace -- --config= '' $word)
        set previous $word
    end
    set file (string replace -r -- '^~/' $HOME/ $file)
    test -f "$file"; and test -r "$file"; or return 0
    set -l name '\s*["\']?([A-Za-z0-9_-]+)["\']?\s*'
    set -l in_pools no
    while read -l line
        if string match -qr '^\s*\[' -- $line
            set in_pools (string match -qr '^\s*\[\s*pools\s*\]' -- $line; and echo yes; or echo no)
            string replace -rf '^\s*\[\s*pools\s*\.'$name'\].*' '$1' -- $line
        else if test $in_pools = yes
            string replace -rf '^'$name'[=.].*' '$1' -- $line
        else
            string replace -rf '^\s*pools\s*\.'$name'[=.].*' '$1' -- $line
        end
    end < $file
end

function __semactl_is_pool -d "Whether this is a pool, rather than a command"
    string match -qr -- '^(env:|file:|[[:xdigit:]]{8}-[[:xdigit:]-]{27}$)' $argv[1]
    or contains -- $argv[1] (__semactl_aliases)
end

function __semactl_references -d "What is not written out: env:NAME or file:PATH"
    set -l token (string replace -r -- '^--[a-z-]+=' '' (commandline -ct))
    if string match -q 'file:*' -- $token
        set -l found (__fish_complete_path (string replace file: '' -- $token))
        test (count $found) -gt 0; and printf 'file:%s\n' $found
    else if string match -q 'env:*' -- $token
        printf 'env:%s\n' (set -nx)
    else
        printf '%s\n' env: file:
    end
end

function __semactl_pools -d "The pools that the line does not name yet"
    set -l named (__semactl_line)[3..-1]
    for alias in (__semactl_aliases)
        contains -- $alias $named; or printf '%s\talias\n' $alias
    end
    __semactl_references
end

# Whether the subcommand is one of these, and this many words stand behind it (any number for -), none of them
# the command that `run` runs.
function __semactl_at
    set -l line (__semactl_line)
    test $line[2] -eq 0; or return 1
    test $argv[1] = -; or test $argv[1] -eq (math (count $line) - 2); or return 1
    contains -- "$line[1]" $argv[2..-1]
end

function __semactl_in_command
    test (__semactl_line)[2] -gt 0
end

# The command that semactl runs is completed as it is on its own.
function __semactl_command
    set -l words (commandline -opc)
    set -l begin (__semactl_line)[2]
    test $begin -gt 0; or set begin (math (count $words) + 1)
    set -e words[1..(math $begin - 1)]
    complete -C (string join -- ' ' (string escape -- $words) (commandline -ct))
end

function __semactl_more_pools -d "Another pool, or the command: all commands would hide the pools"
    __semactl_pools
    printf '%s\t%s\n' -- 'End of the pools'
    set -l token (commandline -ct)
    if test -n "$token"; and not string match -q '*:*' -- $token; and test (count (__semactl_line)) -eq 3
        and not contains -- -- (commandline -op)
        __semactl_command
    end
end

complete -c semactl -f

complete -c semactl -n 'not __semactl_in_command' -l server -x -a 'http:// https:// unix:/' -d 'The server'
complete -c semactl -n 'not __semactl_in_command' -l cacert -r -F -d 'The authorities to trust'
complete -c semactl -n 'not __semactl_in_command' -l cert -r -F -d 'The certificate to show'
complete -c semactl -n 'not __semactl_in_command' -l key -r -F -d "The certificate's key"
complete -c semactl -n 'not __semactl_in_command' -l config -r -F -d 'The configuration file'
complete -c semactl -n 'not __semactl_in_command' -l output -x -a 'text json' -d 'How results are printed'
complete -c semactl -n 'not __semactl_in_command' -s q -l quiet -d 'Say nothing but errors'
complete -c semactl -n 'not __semactl_in_command' -s v -l verbose -d 'Say what is done'
complete -c semactl -n 'not __semactl_in_command' -l version -d 'Print the version and exit'
complete -c semactl -n 'not __semactl_in_command' -s h -l help -d 'Print help and exit'

complete -c semactl -n '__semactl_at 0 "" help' -a run -d 'Run a command while it holds a slot'
complete -c semactl -n '__semactl_at 0 "" help' -a borrow -d 'Borrow a slot and print its lease'
complete -c semactl -n '__semactl_at 0 "" help' -a return -d 'Return a slot before its lease ends'
complete -c semactl -n '__semactl_at 0 "" help' -a keepalive -d 'Give a lease a new end'
complete -c semactl -n '__semactl_at 0 "" help' -a register -d 'Make a pool, or change one'
complete -c semactl -n '__semactl_at 0 "" help' -a inspect -d 'Print how many slots are lent'
complete -c semactl -n '__semactl_at 0 "" help' -a resize -d 'Change how many slots a pool has'
complete -c semactl -n '__semactl_at 0 "" help' -a holders -d 'Print the holders and the waiters'
complete -c semactl -n '__semactl_at 0 "" help' -a who -d 'Print the holders and the waiters'
complete -c semactl -n '__semactl_at 0 "" help' -a history -d 'Print who had the slots of a pool'
complete -c semactl -n '__semactl_at 0 "" help' -a stats -d 'Print how a pool was used'
complete -c semactl -n '__semactl_at 0 "" help' -a callbacks -d 'Print who is to be called'
complete -c semactl -n '__semactl_at 0 "" help' -a watch -d 'Show holders and waiters as they change'
complete -c semactl -n '__semactl_at 0 "" help' -a revoke -d 'Take a slot from its holder'
complete -c semactl -n '__semactl_at 0 "" help' -a slot -d 'Take a slot out of service, or put it back'
complete -c semactl -n '__semactl_at 0 "" help' -a delete -d 'Delete a pool with all its leases'
complete -c semactl -n '__semactl_at 0 "" help' -a new -d 'Make a pool with a fresh UUID'
complete -c semactl -n '__semactl_at 0 "" help' -a ping -d 'Check that the server answers'
complete -c semactl -n '__semactl_at 0 "" help' -a pools -d 'Print all pools, for the administrator'
complete -c semactl -n '__semactl_at 0 "" help' -a backup -d 'Copy all that the server keeps into a file'
complete -c semactl -n '__semactl_at 0 "" help' -a dispatch -d 'Keep slots busy from sources of work'
complete -c semactl -n '__semactl_at 0 "" help' -a completion -d 'Print a completion script'
complete -c semactl -n '__semactl_at 0 "" help' -a help -d 'Print help, or that of a command'

complete -c semactl -n '__semactl_at 0 run borrow return keepalive register inspect resize holders who callbacks watch' \
    -a '(__semactl_pools)'
complete -c semactl -n '__semactl_at 0 history stats revoke slot delete' -a '(__semactl_pools)'
complete -c semactl -n '__semactl_at - run; and not __semactl_at 0 run' -a '(__semactl_more_pools)'
complete -c semactl -n __semactl_in_command -a '(__semactl_command)'
complete -c semactl -n '__semactl_at 1 return keepalive' -a 'env:SEMA_LEASE (__semactl_references)'
complete -c semactl -n '__semactl_at 1 resize' -a '+1 -1'
complete -c semactl -n '__semactl_at 2 slot' -a 'out in'
complete -c semactl -n '__semactl_at 0 backup' -F
complete -c semactl -n '__semactl_at 0 dispatch' -F -a 'stop keepalive status drain'
complete -c semactl -n '__semactl_at 1 dispatch; and contains -- (__semactl_line)[3] status drain' -F
complete -c semactl -n '__semactl_at 2 dispatch; and contains -- (__semactl_line)[3] stop keepalive' -F
complete -c semactl -n '__semactl_at 0 completion' -a 'bash zsh fish'

complete -c semactl -n '__semactl_at - run borrow keepalive' -l ttl -x -d 'How long the slot is held at most'
complete -c semactl -n '__semactl_at - run borrow' -l wait -x -d 'How long to wait for a slot'
complete -c semactl -n '__semactl_at - return keepalive dispatch' -l wait -x -d 'How long to try while the server is away'
complete -c semactl -n '__semactl_at - run' -s I -x -d 'Replace this token with the position'
complete -c semactl -n '__semactl_at - run' -s E -l conflict-exit-code -x -d 'Exit status without a slot'
complete -c semactl -n '__semactl_at - run' -l kill-after -x -d 'Kill this long after a signal asked to stop'
complete -c semactl -n '__semactl_at - run' -l grace -x -d 'From TERM to KILL when the lease ends'
complete -c semactl -n '__semactl_at - run' -l no-keepalive -d 'Stop the command before its ttl ends'
complete -c semactl -n '__semactl_at - run' -l on-lost -x -a 'term ignore' -d 'When the lease is lost'
complete -c semactl -n '__semactl_at - run' -l die-with-parent -d 'Stop when the parent process is gone'
complete -c semactl -n '__semactl_at - run' -l hold-tree -d 'Hold the slot for all descendants'
complete -c semactl -n '__semactl_at - run' -l teardown -x -d 'A shell command while the slot is held'
complete -c semactl -n '__semactl_at - run' -l fallback -x -a 'fail run' -d 'Without a server'
complete -c semactl -n '__semactl_at - run' -l dry-run -d 'Say what would be done'
complete -c semactl -n '__semactl_at - borrow' -l lease -x -a '(__semactl_references)' -d 'The UUID that the lease is to have'
complete -c semactl -n '__semactl_at - run' -l lease -x -a '(__semactl_references)' -d 'The lease to run under'
complete -c semactl -n '__semactl_at - run borrow' -l slots -x -d 'How many slots, all or none'
complete -c semactl -n '__semactl_at - run borrow' -l priority -x -d 'A higher number is served first'
complete -c semactl -n '__semactl_at - run borrow' -l holder -x -d 'What the borrower is called'
complete -c semactl -n '__semactl_at - borrow' -l holder-url -x -d 'A link that is shown with it'
complete -c semactl -n '__semactl_at - borrow' -l callback -x -a 'https://' -d 'Who is called once there is a slot'
complete -c semactl -n '__semactl_at - borrow' -l callback-header -x -d 'A header of that call'
complete -c semactl -n '__semactl_at - borrow' -l callback-body -x -d 'JSON that is sent along'
complete -c semactl -n '__semactl_at - borrow' -l callback-secret -x -a '(__semactl_references)' -d 'What it is signed with'
complete -c semactl -n '__semactl_at - callbacks' -l cancel -x -a '(__semactl_references)' -d 'Leave the queue by the lease'
complete -c semactl -n '__semactl_at - borrow' -l shell -d 'Print lines for a shell to evaluate'
complete -c semactl -n '__semactl_at - register new' -l count -x -d 'How many slots the pool has'
complete -c semactl -n '__semactl_at - register' -l slot -x -d 'What the next slot is for its borrower'
complete -c semactl -n '__semactl_at - register' -l cooldown -x -d 'How long a slot rests'
complete -c semactl -n '__semactl_at - register new' -l name -x -d 'What the pool is called'
complete -c semactl -n '__semactl_at - register' -l renewable -x -a 'yes no' -d 'May leases be kept alive'
complete -c semactl -n '__semactl_at - register' -l pick -x -a 'lowest idle' -d 'Which free slot is lent'
complete -c semactl -n '__semactl_at - run return keepalive revoke' -l fence -x -d 'Only the lease that has this fence'
complete -c semactl -n '__semactl_at - revoke delete' -s y -l yes -d 'Do not ask'
complete -c semactl -n '__semactl_at - slot' -l reason -x -d 'Why it is out of service'
complete -c semactl -n '__semactl_at - new' -l save -x -d 'Save the UUID under this alias'
complete -c semactl -n '__semactl_at - delete' -l forget -d 'Take its alias out of the configuration'
complete -c semactl -n '__semactl_at - history stats' -l since -x -d 'Only what was within this time'
complete -c semactl -n '__semactl_at - history' -l limit -x -d 'How many leases at the most'
complete -c semactl -n '__semactl_at - history' -l position -x -d 'Only leases of this slot'
complete -c semactl -n '__semactl_at - stats' -l what-if -d 'Show waits with other counts too'
complete -c semactl -n '__semactl_at - pools backup' -l admin-token -x -a '(__semactl_references)' -d 'The admin token'
complete -c semactl -n '__semactl_at - dispatch' -l once -d 'One pass, for cron'
complete -c semactl -n '__semactl_at - dispatch' -l patience -x -d 'How long to wait for commands after a TERM'
complete -c semactl -n '__semactl_at - dispatch' -l undo -d 'Of drain: put the slots back'
