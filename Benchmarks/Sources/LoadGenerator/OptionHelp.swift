/// What `--help` prints.
let helpText = """
    larder-bench: load for a memcached server, with memtier_benchmark's options.

    usage: larder-bench [options]

    Where to
      -s, --server=HOST             (default localhost); -4, -6: only IPv4, only IPv6
      -p, --port=PORT               (default 11211)
      -S, --unix-socket=PATH        instead of TCP
      -P, --protocol=NAME           memcache_text (default), memcache_meta or memcache_binary
      -a, --authenticate=USER:PASS  ASCII login (text, meta) or SASL PLAIN (binary)
          --tls                     speak TLS
          --cacert=FILE             whose signatures are trusted (default: the system's)
          --cert=FILE --key=FILE    what the client shows, PEM
          --sni=NAME                the name that is asked for and checked (default: the host)
          --tls-skip-verify         believe any certificate

    How much
      -t, --threads=N               threads (default 1)
      -c, --clients=N               connections of each thread (default 50)
      -n, --requests=N|allkeys      requests of each connection (default 10000); allkeys: one
                                    for each key, shared out with --key-pattern P:P
          --test-time=SECONDS       instead of -n
          --pipeline=N              requests a connection sends at a time (default 1); the next
                                    batch follows when all answers are there
          --rate-limiting=N         open loop: N requests a second of each connection, sent when
                                    they are due, or as soon after as the connection is free;
                                    latency counts from when they were due
          --reconnect-interval=N    a new connection after each N requests
      -x, --run-count=N             runs (default 1); --print-all-runs prints each in full
          --seed=N                  of what is random (default 1)
          --no-distinct-client-seed all connections ask for the same keys: flatters the server

    What
          --ratio=SETS:GETS         (default 1:10)
          --multi-key-get=N         gets of up to N keys, not more than GETS of the ratio in a row;
                                    meta and binary: quiet gets with a no-op behind them
      -d, --data-size=BYTES         (default 32)
          --data-size-range=A-B     from A to B; --data-size-pattern=R at random (default),
                                    S growing with the key's number
          --data-size-list=S:W,...  sizes with their weights
          --expiry-range=A-B        seconds to live (default: for ever)
          --client-flags=N          sets store N as client flags, and every value that is read must
                                    have them (default 0); meta gets ask for them if N is not 0
          --key-prefix=TEXT         (default memtier-)
          --key-minimum=N           (default 0)
          --key-maximum=N           (default 10000000)
          --key-pattern=SETS:GETS   R evenly at random (default), S in order, P in order and shared
                                    out among the connections, G by Gauss's bell, Z by Zipf's law
          --key-stddev=X            of the bell (default: a sixth of the range)
          --key-median=X            of the bell (default: the middle)
          --key-zipf-exp=X          Zipf's exponent (default 1)
          --preload                 first store every key once, unmeasured
          --no-verify               do not compare values; otherwise a wrong byte ends the run
                                    with exit code 1

    Output
      -o, --out-file=FILE           the summary, instead of standard output
          --json-out-file=FILE      the figures as JSON, too
          --hdr-file-prefix=PREFIX  PREFIX_FULL_RUN_1.hgrm and so on: percentiles as HdrHistogram's
                                    tools write and plot them; and PREFIX.svg
          --svg-file=FILE           a picture of latency by percentile
          --print-percentiles=P,P   those of the table (default 50,90,99,99.9)
          --hide-histogram          no list of latencies
          --progress                a line each second, also when stderr is no terminal
      -D, --debug                   print what the options came to
      -v, --version                 print the version and leave
          --help                    print this and leave (also -h)

    Exit codes: 0 done, 1 the run failed or an answer was wrong, 2 wrong options.

    Examples
      larder-bench --preload --key-maximum 200000 -d 100 --test-time 10
      larder-bench --ratio 0:100 --multi-key-get 100 --key-maximum 200000 --test-time 10
      larder-bench -P memcache_meta --ratio 1:0 --pipeline 32 -c 10 --key-pattern P:P -n allkeys
      larder-bench --rate-limiting 500 --key-maximum 200000 --test-time 30 --svg-file latency.svg

    """
