# Words to the person at the terminal. Plain text where that is no terminal, or NO_COLOR is set.
# shellcheck shell=bash
# The colours are used by whoever sources this.
# shellcheck disable=SC2034

if [[ -t 1 && -z ${NO_COLOR:-} && ${TERM:-dumb} != dumb ]]; then
    bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' green=$'\e[32m' plain=$'\e[0m'
    hues=($'\e[36m' $'\e[33m' $'\e[35m' $'\e[34m' $'\e[32m' $'\e[96m' $'\e[93m' $'\e[95m')
else
    bold='' dim='' red='' green='' plain=''
    hues=('')
fi

heading() { printf '%s==> %s%s\n' "$bold" "$*" "$plain"; }
note() { printf '%s%s%s\n' "$dim" "$*" "$plain"; }

# What went wrong and what to do about it, and the end of the script.
die() {
    printf '%s%s:%s %s\n' "$red" "${0##*/}" "$plain" "$*" >&2
    exit 1
}

# The colour by which job NUMBER is known.
hue() { printf '%s' "${hues[$1 % ${#hues[@]}]}"; }

# Every script says in the comment at its top what it does and how it is called.
if [[ ${1:-} == -h || ${1:-} == --help ]]; then
    awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "script/${0##*/}"
    exit
fi
