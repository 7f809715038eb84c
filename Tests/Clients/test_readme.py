"""What the README, and LarderStore's page, tell a newcomer to type works as it stands there."""
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
STORE = (ROOT / "Sources/LarderStore/LarderStore.docc/LarderStore.md").read_text()


def blocks(language, page=README):
    """The code blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def test_there_is_something_to_try():
    assert blocks("python") and blocks("sh") and blocks("text")


@pytest.mark.larder_only
@pytest.mark.parametrize("snippet", blocks("python"))
def test_python_snippets_run(start_server, snippet):
    port = start_server().port
    assert "11211" in snippet
    exec(compile(snippet.replace("11211", str(port)), "README.md", "exec"), {})


# What LarderStore was built to for larder-readers, a program outside its package.
BUILT = ROOT / "Benchmarks" / ".build" / "release"


def sources_of(target):
    """The names of a target's files. The build directory has objects of files that were renamed since, too."""
    return {file.name for file in (ROOT / "Sources" / target).rglob("*")}


def swift_snippets():
    """Programs with what they print. The page of the store shows what its first one prints, the second a greeting."""
    first, second = blocks("swift", STORE)
    (printed,) = blocks("text", STORE)
    return [*((program, "hello\n") for program in blocks("swift")), (first, printed), (second, "hello\n")]


@pytest.mark.larder_only
@pytest.mark.parametrize("snippet, printed", swift_snippets())
def test_swift_snippets_run(tmp_path, snippet, printed):
    source = tmp_path / "main.swift"
    source.write_text(snippet.replace("/dev/shm/sessions", str(tmp_path / "sessions")))
    objects = [file for target in ["LarderStore", "CLarderArena"] for file in BUILT.glob(f"{target}.build/*.o")
               if file.stem in sources_of(target)]
    assert objects, "make test-clients builds them"
    program = tmp_path / "program"
    compiled = subprocess.run(
        ["swiftc", "-swift-version", "6", "-static-stdlib", "-I", BUILT / "Modules", "-Xcc",
         f"-fmodule-map-file={BUILT / 'CLarderArena.build' / 'module.modulemap'}", "-o", program, source, *objects],
        capture_output=True, text=True, timeout=300)
    assert compiled.returncode == 0, compiled.stderr
    assert "warning" not in compiled.stderr, compiled.stderr
    answer = subprocess.run([program], capture_output=True, text=True, timeout=60)
    assert (answer.returncode, answer.stdout) == (0, printed), answer.stderr


@pytest.mark.larder_only
@pytest.mark.parametrize("dialogue", blocks("text"))
def test_a_dialogue_by_hand_goes_as_shown(start_server, dialogue):
    """A line that the server would not say is what the user types."""
    said_by_server = ("STORED", "VALUE", "VA ", "END")
    lines = dialogue.splitlines()
    typed, expected, in_value = [], [], False
    for line in lines:
        if line.startswith(said_by_server) or in_value:
            expected.append(line)
            in_value = line.startswith("VA")
        else:
            typed.append(line)
    with start_server().connect() as connection:
        connection.send(b"".join(line.encode() + b"\r\n" for line in typed))
        for line in expected:
            assert connection.read_line() == line.encode()


@pytest.mark.parametrize("line", [line for block in blocks("sh") for line in block.splitlines()])
def test_shell_commands_name_things_that_exist(line):
    words = line.split()
    if words[0] == "make":
        target = words[1]
        subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True, timeout=60)
    else:
        assert words[:2] in (["docker", "build"], ["docker", "run"]), line
        if words[1] == "build":
            assert (ROOT / words[words.index("-f") + 1]).is_file()


def test_every_file_that_is_named_is_there():
    for name in re.findall(r"\]\(([^)#]+)\)", README):
        if "://" not in name:
            assert (ROOT / name).exists(), name
