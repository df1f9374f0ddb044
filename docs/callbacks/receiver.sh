#!/bin/sh
# An example of a receiver of semad's callbacks: it answers one HTTP request, which comes on its standard input, and
# starts a job for the lease in it. Something else listens, and starts it for each connection, as systemd does with
# `Accept=yes` and `StandardInput=socket`, or:
#
#   HOOK_SECRET=whsec_... systemd-socket-activate --accept --inetd -l 127.0.0.1:8080 -E HOOK_SECRET -E JOB \
#       ./receiver.sh
#
# The job is the shell line JOB. It runs once for each callback, with the lease's UUID in SEMA_LEASE. It is best a
# `semactl run POOL --lease env:SEMA_LEASE -- ...`, which renews the lease and returns it.
#
# Needs openssl. Folders of the ids of what was started are made in $STARTED (./started).
set -eu
started=${STARTED:-started}
# A callback that was recorded may be sent again by somebody else; one that is older than this is refused.
tolerance=300

# answer STATUS TEXT
answer() {
    body="{\"result\":\"$2\"}"
    printf 'HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %s\r\nConnection: close\r\n\r\n%s' \
        "$1" "${#body}" "$body"
    exit 0
}

is_number() {
    case $1 in '' | *[!0-9]* | 0?*) return 1 ;; esac
    [ "${#1}" -le 12 ]
}

# The bytes that these numbers stand for.
bytes() {
    # shellcheck disable=SC2059,SC2046
    printf "$(printf '\\%03o' "$@")"
}

# padded BYTE KEY_BYTE...: the key as a block of SHA-256, each byte of it XORed with BYTE.
padded() {
    with=$1 block=''
    shift
    while [ $# -lt 64 ]; do set -- "$@" 0; done
    for byte; do block="$block $((byte ^ with))"; done
    # shellcheck disable=SC2086
    bytes $block
}

# hmac FILE KEY_BYTE...: HMAC-SHA256 (RFC 2104) in base64, for a key of at most 64 bytes. `openssl dgst -hmac` would
# have the key on its command line, where others may look at it.
hmac() {
    file=$1
    shift
    {
        padded 92 "$@"
        { padded 54 "$@" && cat "$file"; } | openssl dgst -sha256 -binary
    } | openssl dgst -sha256 -binary | openssl base64 -A
}

# The head, line by line. What a shell reads of a connection it reads byte for byte, so that the body stays.
id='' timestamp='' signatures='' length=''
IFS=' ' read -r method _ || exit 0
carriage_return=$(printf '\r')
while IFS= read -r line; do
    line=${line%"$carriage_return"}
    [ -n "$line" ] || break
    value=${line#*:}
    value=${value# }
    case $(printf '%s' "${line%%:*}" | tr '[:upper:]' '[:lower:]') in
    webhook-id) id=$value ;;
    webhook-timestamp) timestamp=$value ;;
    webhook-signature) signatures=$value ;;
    content-length) length=$value ;;
    esac
done
[ "$method" = POST ] || answer '405 Method Not Allowed' 'POST a callback'
if ! is_number "$length" || [ "$length" -gt 1048576 ]; then answer '413 Content Too Large' 'at most 1 MiB is taken'; fi

work=$(mktemp -d 2>/dev/null) || answer '503 Service Unavailable' 'cannot keep the callback'
trap 'rm -rf "$work"' EXIT
head -c "$length" >"$work/body"

case $id in
'' | *[!A-Za-z0-9_.-]* | .* | -*) answer '401 Unauthorized' 'webhook-id is missing' ;;
esac
is_number "$timestamp" || answer '401 Unauthorized' 'webhook-timestamp is missing'
age=$(($(date +%s) - timestamp))
if [ "$age" -gt "$tolerance" ] || [ "$age" -lt "-$tolerance" ]; then
    answer '401 Unauthorized' 'webhook-timestamp is too far from the time here'
fi

# What was signed is the id, the timestamp and the body, with dots between: byte for byte as it came.
{
    printf '%s.%s.' "$id" "$timestamp"
    cat "$work/body"
} >"$work/signed"
# HOOK_SECRET may have several secrets, while one takes another's place, and there is a signature for each that the
# borrower gave.
verified=
for secret in ${HOOK_SECRET:?}; do
    key=$(printf '%s' "${secret#whsec_}" | openssl base64 -d -A | od -An -v -tu1)
    # shellcheck disable=SC2086
    expected=$(hmac "$work/signed" $key)
    for given in $signatures; do
        [ "$given" != "v1,$expected" ] || verified=yes
    done
done
[ -n "$verified" ] || answer '401 Unauthorized' 'webhook-signature is of none of the secrets'

lease=$(sed -n 's/^{"lease":"\([0-9a-f-]\{36\}\)".*/\1/p' "$work/body")
[ -n "$lease" ] || answer '400 Bad Request' 'the body has no lease'

# The same callback may come twice, as when our first answer was lost: it has the same id then. Of several that make
# one folder, one succeeds.
mkdir -p "$started" 2>/dev/null || answer '503 Service Unavailable' 'cannot note what is started'
if ! mkdir "$started/$id" 2>/dev/null; then
    [ -d "$started/$id" ] || answer '503 Service Unavailable' 'cannot note what is started'
    answer '200 OK' 'started before'
fi
# semad tries again.
if ! { true >"$started/$id/log"; } 2>/dev/null; then
    rmdir "$started/$id"
    answer '503 Service Unavailable' 'cannot note what is started'
fi
# The job has none of this connection: semad waits for the answer alone.
SEMA_LEASE=$lease HOOK_SECRET='' setsid sh -c "${JOB:?}" </dev/null >"$started/$id/log" 2>&1 &
answer '202 Accepted' 'started'
