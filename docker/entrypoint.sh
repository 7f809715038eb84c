#!/bin/sh
# The image's entry point. All of these serve, as they do with memcached's image:
#   run IMAGE    run IMAGE -m 64    run IMAGE larder -m 64    run IMAGE memcached -m 64
# Any other first word is run as it stands (sh, for one). larder by itself listens on loopback only,
# and no client outside a container reaches that. So it gets -l '*' here, unless an option, a variable or the file of
# --config says where to listen.
set -eu

# file_listens FILE: whether a line of the file says where to listen.
file_listens() {
    # A line that begins with - may have several options.
    grep -Eqs \
        -e '^[[:blank:]]*(-[ls]|--listen([[:blank:]=]|$)|--unix-s|listen[[:blank:]=]|unix-socket[[:blank:]=])' \
        -e '^[[:blank:]]*-.*[[:blank:]](-[ls]|--listen([[:blank:]=]|$)|--unix-s)' "$1"
}

# listens OPTION...: whether -l or -s is among them, in any of the forms that getopt knows.
listens() {
    [ -z "${LARDER_LISTEN:-}${LARDER_UNIX_SOCKET:-}" ] || return 0
    [ -z "${MEMCACHED_LISTEN_ADDRESS:-}${MEMCACHED_LISTEN_ADDRESS_FILE:-}" ] || return 0
    file=${LARDER_CONFIG:-}
    while [ $# -gt 0 ]; do
        case $1 in
        --) break ;;
        --listen | --listen=* | --unix-s*) return 0 ;;
        --config=*) file=${1#--config=} ;;
        --config) file=${2:-} ;;
        --*) ;;
        -?*)
            letters=${1#-}
            while [ -n "$letters" ]; do
                letter=${letters%"${letters#?}"}
                letters=${letters#?}
                case $letter in
                [ls]) return 0 ;;
                [abcefmnoptuBDINPRUY])
                    # This one takes an argument: what is left of the word, or the next word.
                    [ -n "$letters" ] || [ $# -lt 2 ] || shift
                    break
                    ;;
                esac
            done
            ;;
        esac
        shift
    done
    [ -n "$file" ] && file_listens "$file"
}

case ${1:-} in
'' | -*) ;;
larder | memcached) shift ;;
*) exec "$@" ;;
esac

case ${1:-} in
'' | -*)
    # The shell splits Bitnami's variable of options at blanks. Without -f it would expand a * in it to file names.
    set -f
    if ! listens ${MEMCACHED_EXTRA_FLAGS:-} "$@"; then
        set -- -l '*' "$@"
    fi
    ;;
esac
exec larder "$@"
