"""The loads of compare.py: what is stored first, what is asked for, and which ratio is the goal."""

import dataclasses

# Keys of 20 bytes, a million of them; values of 100 bytes.
FIRST_KEY = 100_000_000_000
VALUES = ("-d", "100")


def keys(count):
    return ("--key-minimum", str(FIRST_KEY), "--key-maximum", str(FIRST_KEY + count - 1))


MILLION = keys(1_000_000) + VALUES
META = ("-P", "memcache_meta")
BINARY = ("-P", "memcache_binary")
HUNDRED = ("--ratio", "0:100", "--multi-key-get", "100")
BATCH = ("--pipeline", "32")


@dataclasses.dataclass(frozen=True)
class Workload:
    """One load. `goal`: the most that Larder's CPU per operation may be of memcached's (1.6.45)."""

    about: str
    load: tuple = ()
    stored: tuple = MILLION
    server: tuple = ("-m", "1024", "-c", "4096")
    threads: int = 1
    # How many cores the server has; as many as threads unless said.
    cores: int = 0
    unix: bool = False
    tls: bool = False
    # Connections that are open and say nothing.
    idle: int = 0
    goal: float | None = None
    # What is to be looked at beside the CPU: figure and ratio.
    latency_goals: tuple = ()
    # Whether larder-floor can answer it: text, one request at a time, values of 100 bytes.
    has_floor: bool = False

    @property
    def setting(self):
        """Workloads with the same setting are measured on the same two servers."""
        return self.stored, self.server, self.threads, self.cores, self.unix, self.tls, self.idle

    @property
    def command(self):
        """All options of the load."""
        return list(self.stored + self.load)


# Neighbours with the same setting share their servers; the first changes least of what the next ones find.
WORKLOADS = {
    "get50": Workload("50 connections, 1 set to 10 gets, one at a time", goal=0.75, has_floor=True),
    "meta1": Workload("the same with ms and mg", META, goal=0.75),
    "bin1": Workload("the same in the binary protocol", BINARY, goal=0.75),
    "pipe32": Workload("get50 in batches of 32", BATCH, goal=0.35),
    "meta32": Workload("the same with ms and mg", META + BATCH, goal=0.35),
    "hot32": Workload("pipe32 on 10,000 keys", keys(10_000) + BATCH, goal=0.35),
    "mget100": Workload("gets of 100 keys", HUNDRED, goal=0.25),
    "metaq100": Workload("100 quiet mg and mn", META + HUNDRED, goal=0.25),
    "binq100": Workload("100 getq and a no-op", BINARY + HUNDRED, goal=0.25),
    "zipf": Workload(
        "gets in batches of 8, keys by Zipf's law (0.99)",
        ("--ratio", "0:1", "--pipeline", "8", "--key-pattern", "Z:Z", "--key-zipf-exp", "0.99")),
    "rate25k": Workload(
        "get50, open loop, 25,000 requests a second", ("--rate-limiting", "500"),
        latency_goals=(("p50", 0.95), ("p99", 1.0)), has_floor=True),
    "rate80k": Workload(
        "get50, open loop, 80,000 requests a second", ("--rate-limiting", "1600"), latency_goals=(("p99", 0.75),),
        has_floor=True),
    "churn": Workload("get50, a new connection for each request", ("--reconnect-interval", "1"), goal=0.95,
        has_floor=True),
    "set32": Workload("sets in batches of 32", BATCH + ("--ratio", "1:0"), goal=0.35),
    "conn1k": Workload(
        "get50 with 1,000 connections", ("-c", "1000"), server=("-m", "1024", "-c", "4000"), goal=0.75,
        has_floor=True),
    "idle10k": Workload(
        "get50 beside 9,900 idle connections", server=("-m", "1024", "-c", "12000"), idle=9900, goal=0.75),
    "unix50": Workload("get50 over a Unix socket", unix=True, goal=0.68, has_floor=True),
    "unix32": Workload("pipe32 over a Unix socket", BATCH, unix=True, goal=0.35),
    "v16k": Workload("get50, values of 16 KiB", stored=keys(20_000) + ("-d", "16384"), goal=0.95),
    "v512k": Workload("get50, values of 512 KiB", stored=keys(400) + ("-d", "524288"), goal=0.95),
    "evict": Workload(
        "sets of 100 to 1000 B in batches of 32 into -m 64", BATCH + ("--ratio", "1:0"),
        stored=keys(1_000_000) + ("--data-size-range", "100-1000"), server=("-m", "64", "-c", "4096"), goal=0.50),
    "tls50": Workload("get50 through TLS", tls=True, goal=1.0),
    "t1get50": Workload("get50, one thread on the cores of t4get50", cores=4),
    "t1pipe32": Workload("pipe32, one thread on the cores of t4pipe32", BATCH, cores=4),
    "t4get50": Workload("get50, four threads", threads=4),
    "t4pipe32": Workload("pipe32, four threads", BATCH, threads=4),
}

QUICK = (
    "get50", "pipe32", "mget100", "metaq100", "rate25k", "churn", "set32", "unix50", "evict", "tls50")

# Streams of instructions.py that have another name than their workload.
STREAM_OF = {"get50": "get1"}
# The same load with four threads and with one, and how much more an operation may cost with four.
SCALING = {"t4get50": "t1get50", "t4pipe32": "t1pipe32"}
SCALING_GOAL = 1.05
