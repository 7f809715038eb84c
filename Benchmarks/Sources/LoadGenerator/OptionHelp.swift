/// What `--help` prints.
let helpText = """
    larder-bench: load for a memcached server, with memtier_benchmark's options.

    usage: larder-bench [options]

    Where to
      -s, --server=HOST             (default localhost)
      -p, --port=PORT               (default 11211)
      -S, --unix-socket=PATH        instead of TCP
      -P, --protocol=memcache_text  the only one so far

    How much
      -t, --threads=N               threads (default 1)
      -c, --clients=N               connections of each thread (default 50)
      -n, --requests=N|allkeys      requests of each connection (default 10000); allkeys: one
                                    for each key, shared out with --key-pattern P:P
          --test-time=SECONDS       instead of -n
          --pipeline=N              requests a connection sends at a time (default 1); the next
                                    batch follows when all answers are there
          --seed=N                  of what is random (default 1)
          --no-distinct-client-seed all connections ask for the same keys: flatters the server

    What
          --ratio=SETS:GETS         (default 1:10)
          --multi-key-get=N         gets of up to N keys, not more than GETS of the ratio in a row
      -d, --data-size=BYTES         (default 32)
          --data-size-range=A-B     evenly from A to B
          --expiry-range=A-B        seconds to live (default: for ever)
          --key-prefix=TEXT         (default memtier-)
          --key-minimum=N           (default 0)
          --key-maximum=N           (default 10000000)
          --key-pattern=SETS:GETS   R evenly at random (default), S in order, P in order and shared
                                    out among the connections, Z by Zipf's law
          --key-zipf-exp=X          Zipf's exponent (default 1)
          --preload                 first store every key once, unmeasured
          --no-verify               do not compare values; otherwise a wrong byte ends the run
                                    with exit code 1

    Output
      -o, --json-out-file=FILE      the figures as JSON, too
          --hide-histogram          no list of latencies
          --progress                a line each second, also when stderr is no terminal
      -h, --help                    print this and leave

    Examples
      larder-bench --preload --key-maximum 200000 -d 100 --test-time 10
      larder-bench --ratio 0:100 --multi-key-get 100 --key-maximum 200000 --test-time 10
      larder-bench --ratio 1:0 --pipeline 32 -c 10 --key-pattern P:P -n allkeys

    """
