"""Every option of a real memcached's -h, and of 1.6.45's, is accepted: short, long, and behind -o."""

import re
import shutil
import subprocess

import pytest

from server import Server, binary, run

# What an option needs so that it makes sense; None: nothing. Letters as in memcached's -h.
LETTERS = {
    "p": "-1", "U": "0", "s": None, "a": "0700", "A": None, "l": "127.0.0.1", "d": None, "r": None, "u": "nobody",
    "m": "64", "M": None, "c": "100", "k": None, "v": None, "h": None, "i": None, "V": None, "P": "pid", "f": "1.08",
    "n": "96", "L": None, "D": "/", "t": "2", "R": "10", "C": None, "b": "512", "B": "auto", "I": "2m", "S": None,
    "F": None, "X": None, "W": None, "Y": None, "e": None, "Z": None, "o": "modern", "N": "2",
}
# Need files or another user, or only print: they have tests of their own.
ELSEWHERE = set("sdPSYeZhiVukv")

# Every name of 1.6.45 in any of its builds, with a value where it takes one.
SUBOPTIONS = """
maxconns_fast no_maxconns_fast hashpower=16 no_hashexpand slab_reassign no_slab_reassign slab_automove slab_automove=2
no_slab_automove slab_automove_ratio=0.8 slab_automove_window=10 slab_automove_freeratio=0.01 slab_sizes=100-200-400
slab_chunk_max=512 no_chunked_items tail_repair_time=30 hash_algorithm=jenkins hash_algorithm=murmur3
hash_algorithm=xxh3 lru_crawler no_lru_crawler lru_crawler_sleep=50 lru_crawler_tocrawl=1000 lru_maintainer
no_lru_maintainer hot_lru_pct=10 warm_lru_pct=30 hot_max_factor=0.3 warm_max_factor=3 temporary_ttl=30 idle_timeout=50
watcher_logbuf_size=128 worker_logbuf_size=32 track_sizes inline_ascii_resp no_inline_ascii_resp modern no_modern
resp_obj_mem_limit=10 read_buf_mem_limit=10 drop_privileges no_drop_privileges relaxed_privileges sock_cookie_id=1
ext_path=/tmp/f:1G ext_page_size=64 ext_wbuf_size=4 ext_threads=1 ext_io_depth=1 ext_item_size=512 ext_item_age=10
ext_low_ttl=5 ext_recache_rate=2000 ext_compact_under=1 ext_drop_under=1 ext_max_frag=0.8 ext_max_sleep=1000
ext_drop_unread proxy_arg=x proxy_uring proxy_memprofile
""".split()
# Have a meaning here, or ask for what is the case anyway: no word about them.
SILENT = set("""
maxconns_fast no_maxconns_fast hashpower slab_reassign lru_crawler lru_crawler_tocrawl lru_maintainer idle_timeout
watcher_logbuf_size worker_logbuf_size track_sizes inline_ascii_resp no_inline_ascii_resp modern no_drop_privileges
relaxed_privileges
""".split())


def warnings(server):
    """Lines on standard error beside those that say where it serves, and with what settings."""
    return [line for line in server.stderr.splitlines()
            if " serves " not in line and not line.startswith("larder: settings: ")]


def helped():
    """Letters, long names and suboptions of the memcached that is installed."""
    memcached = shutil.which("memcached")
    assert memcached, "the tests need Debian's memcached"
    text = subprocess.run([memcached, "-h"], capture_output=True, text=True, timeout=10).stdout
    letters = re.findall(r"^-(\w)[, ]", text, re.M)
    names = re.findall(r"^-\w,? +--([\w-]+)", text, re.M)
    suboptions = re.findall(r"^ +- (\w+):", text, re.M)
    assert len(letters) > 30 and len(names) > 30 and len(suboptions) > 30
    return letters, names, suboptions


class TestHelp:
    def test_every_letter_is_known_here(self):
        letters, names, _ = helped()
        assert set(letters) <= set(LETTERS)
        ours = run("-h").stdout
        for letter in letters:
            assert re.search(rf"^  -{letter}\b", ours, re.M), letter
        for name in names:
            # The help spells it with an underscore, the program takes it with a dash only.
            assert f"--{name.replace('napi_ids', 'napi-ids')}" in ours, name

    def test_every_suboption_is_known_here(self):
        _, _, suboptions = helped()
        known = {word.partition("=")[0] for word in SUBOPTIONS}
        assert {name for name in suboptions if not name.startswith("ssl_")} - known <= {"proxy_config"}


class TestStarts:
    @pytest.mark.parametrize("letter", sorted(set(LETTERS) - ELSEWHERE))
    def test_with_the_letter(self, start_server, letter):
        value = LETTERS[letter]
        arguments = [f"-{letter}"] + ([value] if value is not None else [])
        server = start_server(*arguments, unix=letter not in "plU", threads=None if letter == "t" else 2)
        server.assert_alive()
        assert len(warnings(server)) == (1 if letter in "fnN" else 0), server.stderr

    @pytest.mark.parametrize("suboption", SUBOPTIONS)
    def test_with_the_suboption(self, start_server, suboption):
        server = start_server("-o", suboption, unix=True, threads=2)
        server.assert_alive()
        name = suboption.partition("=")[0]
        assert len(warnings(server)) == (0 if name in SILENT else 1), server.stderr

    def test_with_all_of_them_at_once(self, start_server):
        skipped = ("temporary_ttl", "no_", "proxy", "ext_")
        everything = ",".join(word for word in SUBOPTIONS if not word.startswith(skipped))
        server = start_server("-o", everything, "-o", "modern", unix=True)
        settings = server.stats("settings")
        expected = {
            "hot_lru_pct": "10", "warm_lru_pct": "30", "hot_max_factor": "0.30", "warm_max_factor": "3.00",
            "lru_crawler_sleep": "50", "lru_crawler_tocrawl": "1000", "tail_repair_time": "30", "idle_timeout": "50",
            "watcher_logbuf_size": "131072", "worker_logbuf_size": "32768", "track_sizes": "yes",
            "slab_automove": "2", "hashpower_init": "16", "read_buf_mem_limit": "10485760"}
        assert {name: settings[name] for name in expected} == expected

    @pytest.mark.parametrize("arguments, are_asked_for", [([], True), (["-L"], True), (["-o", "no_hugepages"], False)])
    def test_large_pages_are_asked_for(self, start_server, arguments, are_asked_for):
        server = start_server(*arguments, "-m", "128", unix=True)
        smaps = open(f"/proc/{server.process.pid}/smaps").read()
        assert bool(re.search(r"^VmFlags:.*\bhg\b", smaps, re.M)) == are_asked_for


class TestRefusals:
    @pytest.mark.parametrize("arguments", [
        ["-c", "0"], ["-t", "0"], ["-R", "0"], ["-f", "1"], ["-n", "0"], ["-I", "512"], ["-I", "40m"],
        ["-I", "2000m", "-m", "8192"], ["-B", "http"], ["-D", ""], ["-o", "nonsense"], ["-o", "hashpower=3"],
        ["-o", "hashpower"], ["-o", "idle_timeout"], ["-o", "slab_automove=3"], ["-o", "slab_automove_ratio=2"],
        ["-o", "tail_repair_time=5"], ["-o", "hash_algorithm=md5"], ["-o", "lru_crawler_sleep=2000000"],
        ["-o", "hot_lru_pct=90"], ["-o", "hot_lru_pct=50,warm_lru_pct=50"], ["-o", "hot_max_factor=0"],
        ["-o", "watcher_logbuf_size=x"], ["-o", "slab_sizes=5-6"], ["-o", "temporary_ttl=30,no_lru_maintainer"],
        ["-p", "99999"], ["-p"], ["-Q"], ["--nonsense"], ["-u", "nobody-of-this-name"],
        ["-s", "/no/such/directory/socket"], ["-l", "127.0.0.1,127.0.0.1:{port}"], ["-N", "9"],
    ], ids=" ".join)
    def test_as_memcached(self, tmp_path, arguments):
        """The same exit code, and memcached's sentence where it has one."""
        from server import free_port
        port = str(free_port())
        arguments = [argument.format(port=port) for argument in arguments]
        if arguments[0] not in ("-p", "-s"):
            arguments += ["-p", port]
        user = [] if arguments[0] == "-u" else ["-u", "root"]
        results = []
        for program in [shutil.which("memcached"), binary()]:
            result = subprocess.run(
                [program, *user, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10,
                cwd=tmp_path)
            # getopt's sentence begins with the program's name.
            lines = [line.partition(": ")[2] if line.startswith((program, "memcached:", "larder:")) else line
                     for line in (result.stderr + result.stdout).splitlines()]
            results.append((result.returncode, lines))
        (theirs, their_lines), (ours, our_lines) = results
        assert ours == theirs, our_lines
        if arguments[0] not in ("-s",):
            assert our_lines[:1] == their_lines[:1]
