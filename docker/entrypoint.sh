#!/bin/sh
# The image's entry point. All of these serve, as they do with memcached's image:
#   run IMAGE    run IMAGE -m 64    run IMAGE larder -m 64    run IMAGE memcached -m 64
# Any other first word is run as it stands (sh, for one). larder by itself listens on loopback only,
# which nobody outside a container can reach: unless told where to listen, it gets -l '*' here.
set -eu

# listens OPTION...: whether -l or -s is among them, in any of the forms that getopt knows.
listens() {
    while [ $# -gt 0 ]; do
        case $1 in
        --) return 1 ;;
        --listen | --listen=* | --unix-s*) return 0 ;;
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
    return 1
}

case ${1:-} in
'' | -*) ;;
larder | memcached) shift ;;
*) exec "$@" ;;
esac

case ${1:-} in
'' | -*)
    if ! listens "$@"; then
        set -- -l '*' "$@"
    fi
    ;;
esac
exec larder "$@"
