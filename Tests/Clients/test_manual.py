"""-h, the manual page, docs/flags.md and the shells' completions name the same options."""

import os
import pty
import re
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from server import binary, poll, run

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.larder_only


def printed(*arguments):
    result = run(*arguments)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def helped():
    """The names of each option in -h: a letter or None, and the long name."""
    found = re.findall(r"^  (?:-(\w)(?:, )?|    )(?:--([\w-]+))?", printed("-h"), re.M)
    options = {(letter or None, name) for letter, name in found if letter or name}
    assert len(options) > 50
    return options


def subcommands():
    """The subcommands in the usage of -h, and the two that only print."""
    words = re.findall(r"^ +larder (\w+)", printed("-h").partition("Where to listen")[0], re.M)
    assert {"ping", "inspect"} <= set(words)
    return {*words, "help", "version"}


def flags_of(command):
    return set(re.findall(r"^  (--?[\w-]+)", printed(command, "-h"), re.M))


class TestManual:
    def test_options(self):
        lines = printed("--man").replace("\\-", "-").partition(".Sh SUBCOMMANDS")[0]
        listed = re.findall(r"^\.It (?:Fl (\w))?(?: , )?(?:Fl -([\w-]+))?", lines, re.M)
        assert {(letter or None, name) for letter, name in listed if letter or name} == helped()

    def test_subcommands(self):
        page = printed("--man").replace("\\-", "-").partition(".Sh SUBCOMMANDS")[2].partition(".Sh")[0]
        sections = dict(re.findall(r"^\.Ss larder (\w+)\n(.*?)(?=\.Ss|\Z)", page, re.M | re.S))
        assert set(sections) == subcommands()
        for command in set(sections) - {"help", "version"}:
            assert {f"-{flag}" for flag in re.findall(r"^\.It Fl (\S+)", sections[command], re.M)} == flags_of(command)

    def test_lint(self, tmp_path):
        page = tmp_path / "larder.1"
        page.write_text(printed("--man"))
        result = subprocess.run(["mandoc", "-T", "lint", page], capture_output=True, text=True, timeout=10)
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")

    def test_reads_as_the_help(self, tmp_path):
        """The words of -h about an option are in the page as it is shown."""
        shown = subprocess.run(
            ["mandoc", "-T", "ascii"], input=printed("--man"), capture_output=True, text=True, timeout=10).stdout
        words = " ".join(re.sub(r".\x08", "", shown).split())
        for text in ["--memory-limit=MB memory for items, in megabytes (default 64)",
                     "--log-format=FORMAT text, or json: an object with time, level and message a line (default text)",
                     "larder ping -t 1 && echo up", "-t SECONDS how long to wait (default 3)", "ssl_chain_cert"]:
            assert text in words, text


def flags_page():
    """The names in the first columns of docs/flags.md: options, and patterns of names behind -o."""
    page = (ROOT / "docs/flags.md").read_text()
    columns = {
        title: re.findall(r"^\| (`.*?) \|", section, re.M)
        for title, section in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", page, re.M | re.S)}
    # Its names have a table of their own.
    options = {"-o"} | set(re.findall(r"(?<![\w-])--?[\w-]+", " ".join(columns["Letters"] + columns["Long names only"])))
    patterns = set(re.findall(r"[\w*]+", " ".join(columns["Behind `-o`"])))
    return options, patterns


class TestFlagsPage:
    def test_options(self):
        """A letter stands for its long name."""
        options, _ = flags_page()
        assert {f"-{letter}" if letter else f"--{name}" for letter, name in helped()} <= options
        assert options <= {f"-{letter}" for letter, _ in helped()} | {f"--{name}" for _, name in helped()}

    def test_names_behind_o(self):
        _, patterns = flags_page()
        names = re.findall(r"^\.It Cm (\w+)", printed("--man"), re.M)
        assert len(names) > 70
        for name in names:
            assert any(re.fullmatch(pattern.replace("*", r"\w+"), name) for pattern in patterns), name
        for pattern in patterns:
            assert any(re.fullmatch(pattern.replace("*", r"\w+"), name) for name in names), pattern


def words():
    return {f"-{letter}" for letter, _ in helped() if letter} | {f"--{name}" for _, name in helped() if name}


class Bash:
    def __init__(self, directory):
        self.script = directory / "larder.bash"
        self.script.write_text(printed("--completions", "bash"))

    def complete(self, line):
        """As bash splits the line into words: also at an equals sign."""
        typed = re.findall(r"=|[^=\s]+", line) + ([""] if line[-1] in " =" and not line.endswith("=") else [])
        program = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _larder; printf "%s\\n" "${COMPREPLY[@]}"'
        result = subprocess.run(
            ["bash", "-c", program, "bash", self.script, *typed], capture_output=True, text=True, timeout=10,
            cwd=self.script.parent)
        assert result.stderr == ""
        return set(result.stdout.split("\n")) - {""}


class Fish:
    def __init__(self, directory):
        self.directory = directory
        (directory / "larder.fish").write_text(printed("--completions=fish"))

    def complete(self, line):
        """fish offers the whole word, and the last part of it is the completion."""
        program = f'source larder.fish; complete -C "{line}"'
        result = subprocess.run(
            ["fish", "-N", "-c", program], capture_output=True, text=True, timeout=20, cwd=self.directory,
            env=dict(os.environ, HOME=str(self.directory)))
        assert result.stderr == ""
        offered = {each.split("\t")[0] for each in result.stdout.splitlines()}
        return {re.sub(r"^--[\w-]+=(?=.)", "", word) for word in offered}


class Zsh:
    """An interactive zsh, which lists the matches when tab is pressed."""

    def __init__(self, directory):
        (directory / "_larder").write_text(printed("--completions", "zsh"))
        pid, self.terminal = pty.fork()
        if pid == 0:
            os.chdir(directory)
            environment = {"PATH": os.environ["PATH"], "TERM": "dumb", "HOME": str(directory), "COLUMNS": "200"}
            os.execvpe("zsh", ["zsh", "-f", "-i"], environment)
        self.pid = pid
        # Each match is written on a line of its own, behind a plus sign.
        self.ask("""PS1= PS2= RPS1=; unsetopt zle_bracketed_paste prompt_cr; stty -echo cols 200 rows 500
            fpath=($PWD $fpath); autoload -Uz compinit; compinit -u -D; bindkey '^I' list-it
            compadd() {
                [[ " $*" == *" -"[OAD]" "* ]] && { builtin compadd "$@"; return }
                local -a found
                builtin compadd -O found "$@"
                (( $#found )) && print -rl -- "" +${^found}
                builtin compadd "$@"
            }
            list-it() { print; zle list-choices-of; print; print "<end>"; BUFFER=; }
            zle -N list-it; zle -C list-choices-of list-choices _main_complete
            print '<rea''dy>'
        """, "<ready>")

    def ask(self, text, end):
        os.write(self.terminal, text.encode())
        output, deadline = "", time.monotonic() + 20
        while end not in output:
            assert time.monotonic() < deadline, output
            if select.select([self.terminal], [], [], 0.5)[0]:
                output += os.read(self.terminal, 1 << 16).decode(errors="replace")
        return output

    def complete(self, line):
        output = self.ask(line + "\t", "<end>")
        return {word.strip() for word in re.findall(r"^\+(\S+)\r?$", output, re.M)}

    def close(self):
        os.close(self.terminal)
        os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)


@pytest.fixture(params=[Bash, Fish, Zsh], ids=["bash", "fish", "zsh"])
def shell(request, tmp_path):
    (tmp_path / "users.txt").write_text("a:b\n")
    made = request.param(tmp_path)
    yield made
    if isinstance(made, Zsh):
        made.close()


class TestCompletions:
    def test_every_option(self, shell):
        offered = shell.complete("larder -") | shell.complete("larder --")
        assert {word.rstrip("=") for word in offered} == words()

    def test_what_begins_like_it(self, shell):
        assert {word.rstrip("=") for word in shell.complete("larder --l")} == {
            word for word in words() if word.startswith("--l")}

    def test_subcommands(self, shell):
        assert subcommands() <= shell.complete("larder ")
        for command in subcommands() - {"help", "version"}:
            offered = shell.complete(f"larder {command} -") | shell.complete(f"larder {command} --")
            assert flags_of(command) <= offered and "--memory-limit" not in offered

    @pytest.mark.parametrize("line, expected", [
        ("larder --log-format=", {"text", "json"}), ("larder --log-format j", {"json"}), ("larder -B b", {"binary"}),
        ("larder --completions ", {"bash", "zsh", "fish"}), ("larder --auth-file use", {"users.txt"}),
        ("larder -u roo", {"root"}), ("larder inspect use", {"users.txt"}), ("larder -m ", set()),
        ("larder -o ssl_key", {"ssl_key", "ssl_keyformat"}),
    ])
    def test_arguments(self, shell, line, expected):
        assert shell.complete(line) == expected

    def test_a_list(self, tmp_path):
        assert Bash(tmp_path).complete("larder -o modern,ssl_key") == {"modern,ssl_key", "modern,ssl_keyformat"}

    @pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
    def test_syntax(self, name):
        result = subprocess.run(
            [name, "-n"], input=printed("--completions", name), capture_output=True, text=True, timeout=10)
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")

    def test_other_shells(self):
        result = run("--completions", "tcsh")
        assert (result.returncode, result.stderr) == (64, '--completions takes bash, zsh or fish, not "tcsh".\n')


def test_install(tmp_path):
    """All files are installed, and the units name the installed program."""
    result = subprocess.run(
        ["make", "install-built", f"DESTDIR={tmp_path}", "PREFIX=/opt/larder", f"BUILT={binary()}"], cwd=ROOT,
        capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    top = tmp_path / "opt/larder"
    files = {str(path.relative_to(top)) for path in top.rglob("*") if path.is_file()}
    assert files == {
        "bin/larder", "share/man/man1/larder.1", "share/bash-completion/completions/larder",
        "share/zsh/site-functions/_larder", "share/fish/vendor_completions.d/larder.fish",
        "lib/systemd/system/larder.service", "lib/systemd/system/larder@.service", "lib/systemd/system/larder.socket",
        "lib/sysusers.d/larder.conf"}
    assert {path.name for path in tmp_path.iterdir()} == {"opt"}
    program = top / "bin/larder"
    for path, arguments in {
            "share/man/man1/larder.1": ["--man"], "share/bash-completion/completions/larder": ["--completions", "bash"],
            "share/zsh/site-functions/_larder": ["--completions", "zsh"],
            "share/fish/vendor_completions.d/larder.fish": ["--completions", "fish"]}.items():
        text = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=10).stdout
        assert text and (top / path).read_text() == text
    for name in ["larder.service", "larder@.service"]:
        unit = (top / "lib/systemd/system" / name).read_text()
        assert "\nExecStart=/opt/larder/bin/larder\n" in unit and "/usr/bin/larder" not in unit
    assert oct(program.stat().st_mode & 0o777) == "0o755"
