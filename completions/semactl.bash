# bash completion for semactl
# shellcheck shell=bash

# Reads the line, which bash has parted at = and : too. `words` has those that are parted by blanks, each of
# which begins at `starts` in COMP_WORDS; the cursor is in number `here`. What stands of that one before the
# cursor is `typed`, and of that, `stem` is what bash does not replace.
_semactl_read_line() {
    local rest=$COMP_LINE word blanks i
    local -i from
    words=() starts=() here=0 typed='' stem=''
    for ((i = 0; i < ${#COMP_WORDS[@]}; i++)); do
        word=${COMP_WORDS[i]}
        blanks=${rest%%[![:space:]]*}
        if [[ $i == 0 || -z $word || -n $blanks ]]; then
            words+=("$word")
            starts+=("$i")
        else
            words[-1]+=$word
        fi
        if ((i == COMP_CWORD)); then
            here=${#words[@]}-1
            stem=${words[-1]%"$word"}
            from=$((${#COMP_LINE} - ${#rest} + ${#blanks}))
            typed=$word
            ((COMP_POINT - from >= ${#word})) || typed=${word:0:COMP_POINT > from ? COMP_POINT - from : 0}
            # A delimiter is a word, but none that bash would replace.
            if [[ -n $stem && $typed == [=:] ]]; then
                stem+=$typed
                typed=''
            fi
            typed=${typed#[\'\"]}
            typed=$stem$typed
        fi
        # Blanks around an empty word part it from the next one as well.
        [[ -z $word ]] || rest=${rest#"$blanks$word"}
    done
}

# Offers those of the words that go on from what is typed.
_semactl_offer() {
    local word
    for word; do
        [[ $word != "$typed"* ]] || COMPREPLY+=("${word#"$stem"}")
    done
    if [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *[:/] ]]; then compopt -o nospace 2> /dev/null; fi
}

# Offers what compgen makes of the word, or of what stands behind a prefix of it.
_semactl_generate() {
    local prefix=$1 found
    mapfile -t found < <(compgen "${@:2}" -- "${typed#"$prefix"}")
    # A command may be called like a folder, and is none.
    if [[ $2 == -f || $typed == */* ]]; then compopt -o filenames 2> /dev/null; fi
    _semactl_offer "${found[@]/#/"$prefix"}"
}

# The aliases of the configuration file.
_semactl_aliases() {
    local file=${SEMACTL_CONFIG:-${XDG_CONFIG_HOME:-$HOME/.config}/semactl/config.toml} i
    for ((i = 1; i < here; i++)); do
        case ${words[i]} in
            --) break ;;
            --config) file=${words[i + 1]} ;;
            --config=*) file=${words[i]#*=} ;;
        esac
    done
    file=${file//[\\\'\"]/}
    [[ $file != \~/* ]] || file=$HOME/${file#??}
    [[ -f $file && -r $file ]] || return 0
    local ws='[[:blank:]]*' name='[[:blank:]]*["'\'']?([A-Za-z0-9_-]+)["'\'']?[[:blank:]]*'
    sed -nE -e "/^$ws\[${ws}pools$ws\]/,/^$ws\[/s/^${name}[=.].*/\1/p" \
        -e "s/^$ws\[${ws}pools$ws\.$name\].*/\1/p" -e "s/^${ws}pools$ws\.${name}[=.].*/\1/p" "$file"
}

# What is not written out (a pool, a lease, a token), behind a prefix; or one of the words.
_semactl_offer_reference() {
    local prefix=$1
    shift
    case ${typed#"$prefix"} in
        env:*)
            _semactl_generate "${prefix}env:" -A export
            _semactl_offer "$@"
            ;;
        file:*) _semactl_generate "${prefix}file:" -f ;;
        *) _semactl_offer "$@" "$prefix"{env:,file:} ;;
    esac
}

_semactl_offer_pool() {
    local alias offered=()
    for alias in $(_semactl_aliases); do
        [[ " ${named[*]} " == *" $alias "* ]] || offered+=("$alias")
    done
    _semactl_offer_reference '' "${offered[@]}" "$@"
}

# Whether the second word behind `run` is another pool, rather than the command.
_semactl_is_pool() {
    [[ $1 =~ ^(env:|file:|[[:xdigit:]]{8}-[[:xdigit:]-]{27}$) ||
        $'\n'$(_semactl_aliases)$'\n' == *$'\n'"$1"$'\n'* ]]
}

# The command that semactl runs is completed as it is on its own. It begins at this word of COMP_WORDS.
_semactl_offer_command() {
    local offset=$1
    if declare -F _comp_command_offset > /dev/null; then
        _comp_command_offset "$offset"
    elif declare -F _command_offset > /dev/null; then
        _command_offset "$offset"
    elif ((offset == COMP_CWORD)); then
        _semactl_generate '' -c
    else
        _semactl_generate "$stem" -f
    fi
}

# The value of an option; `prefix` is what stands before it in the same word.
_semactl_offer_value() {
    local prefix=$2
    case $1 in
        --config | --cacert | --cert | --key) _semactl_generate "$prefix" -f ;;
        --output) _semactl_offer "$prefix"{text,json} ;;
        --server) _semactl_offer "$prefix"{http://,https://,unix:/} ;;
        --on-lost) _semactl_offer "$prefix"{term,ignore} ;;
        --fallback) _semactl_offer "$prefix"{fail,run} ;;
        --renewable) _semactl_offer "$prefix"{yes,no} ;;
        --pick) _semactl_offer "$prefix"{lowest,idle} ;;
        --admin-token | --lease | --cancel | --callback-secret) _semactl_offer_reference "$prefix" ;;
    esac
}

_semactl() {
    # Whatever the shell's user has set, we are not to end the shell.
    local -
    set +eu
    local IFS=$' \t\n'
    local with_value=' --server --cacert --cert --key --config --output --ttl --wait -I -E --conflict-exit-code --kill-after --grace
        --count --save --lease --slots --priority --holder --holder-url --slot --cooldown --name --renewable
        --pick --fence --reason --on-lost --teardown --fallback --admin-token --since --limit --position --cancel --patience
        --callback --callback-header --callback-body --callback-secret '
    local global='--server --cacert --cert --key --config --output -q --quiet -v --verbose --version -h --help'
    local words starts here typed stem
    local command='' named=() value_of='' begin='' marked='' i word options
    COMPREPLY=()
    _semactl_read_line

    for word in "${words[@]:here}"; do
        [[ $word != -- || $word == "$typed" ]] || marked=yes
    done
    # What was written so far: the subcommand, the words behind it that are neither options nor values, and
    # where the command begins that `run` is to run.
    for ((i = 1; i < here; i++)); do
        word=${words[i]}
        if [[ $word == -- ]]; then
            [[ $command != run ]] || begin=$((i + 1))
            break
        elif [[ $with_value == *[[:space:]]"$word"[[:space:]]* ]]; then
            ((++i < here)) || value_of=$word
        elif [[ $word == -?* ]]; then
            continue
        elif [[ -z $command ]]; then
            command=$word
        else
            named+=("$word")
            if [[ $command == run && ${#named[@]} == 2 && -z $marked ]] && ! _semactl_is_pool "$word"; then
                # Unless a -- is to come.
                begin=$i
                for word in "${words[@]:i:here-i}"; do
                    [[ $word != -- ]] || begin=''
                done
                [[ -z $begin ]] || break
            fi
        fi
    done

    if [[ -n $begin ]]; then
        _semactl_offer_command "${starts[begin]}"
        return 0
    elif [[ -n $value_of ]]; then
        _semactl_offer_value "$value_of" ''
        return 0
    elif [[ $typed == --*=* ]]; then
        _semactl_offer_value "${typed%%=*}" "${typed%%=*}="
        return 0
    fi

    if [[ $typed == -* ]]; then
        case $command in
            run)
                options='--ttl --wait --lease --fence --slots --priority --holder --no-keepalive -I -E --conflict-exit-code'
                options+=' --kill-after --grace --on-lost --die-with-parent --hold-tree --teardown'
                options+=' --fallback --dry-run'
                ((${#named[@]} == 0)) || options+=' --'
                ;;
            borrow)
                options='--ttl --wait --lease --slots --priority --holder --holder-url --shell'
                options+=' --callback --callback-header --callback-body --callback-secret'
                ;;
            callbacks) options='--cancel' ;;
            return) options='--wait --fence' ;;
            keepalive) options='--ttl --wait --fence' ;;
            register) options='--count --slot --cooldown --name --renewable --pick' ;;
            new) options='--count --name --save' ;;
            revoke) options='--fence -y --yes' ;;
            slot) options='--reason' ;;
            delete) options='--forget -y --yes' ;;
            pools | backup) options='--admin-token' ;;
            history) options='--since --limit --position' ;;
            stats) options='--since --what-if' ;;
            dispatch) options='--once --patience --wait --undo' ;;
            *) options='' ;;
        esac
        # shellcheck disable=SC2086
        _semactl_offer $global $options
        return 0
    fi
    case $command:${#named[@]} in
        :* | help:0)
            _semactl_offer run borrow return keepalive register inspect resize holders who history stats callbacks watch \
                revoke slot delete new ping pools backup dispatch completion help
            ;;
        run:0) _semactl_offer_pool ;;
        run:*)
            # Another pool, or the command: all commands would hide the pools.
            _semactl_offer_pool --
            [[ ${#named[@]} != 1 || -n $marked || -z $typed || $typed == *:* ]] || _semactl_generate '' -c
            ;;
        borrow:0 | return:0 | keepalive:0 | register:0 | inspect:0 | resize:0 | holders:0 | who:0 | history:0 | \
            stats:0 | callbacks:0 | watch:0 | revoke:0 | slot:0 | delete:0)
            _semactl_offer_pool
            ;;
        return:1 | keepalive:1) _semactl_offer_reference '' env:SEMA_LEASE ;;
        resize:1) _semactl_offer +1 -1 ;;
        slot:2) _semactl_offer out in ;;
        backup:0)
            mapfile -t COMPREPLY < <(compgen -f -- "$typed")
            compopt -o filenames 2> /dev/null
            ;;
        dispatch:*)
            ((${#named[@]} > 0)) || _semactl_offer stop keepalive status drain
            case ${#named[@]}:${named[0]} in
                1:stop | 1:keepalive) ;;
                0:* | 1:status | 1:drain | 2:stop | 2:keepalive) _semactl_generate '' -f ;;
            esac
            ;;
        completion:0) _semactl_offer bash zsh fish ;;
    esac
    return 0
}

complete -F _semactl semactl
