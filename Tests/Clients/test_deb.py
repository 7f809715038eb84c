"""The Debian package: built from the built program, checked by lintian, installed, served from, removed.

It is installed over a copy of this machine's system: an overlay, whose changes are thrown away. LARDER_DEB_BASE names
another system to install it over, such as a directory of debootstrap.
"""

import os
import pathlib
import shutil
import subprocess

import pytest

from server import Connection, binary, cannot_test, free_port, poll

pytestmark = pytest.mark.larder_only
ROOT = pathlib.Path(__file__).resolve().parents[2]
BASE = os.environ.get("LARDER_DEB_BASE", "/")

# Waits for a line between its steps. $1: a directory, $2: the system, $3: the package, $4: a port.
STEPS = r"""
mount -t tmpfs none "$1"
mkdir "$1/changes" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=$2,upperdir=$1/changes,workdir=$1/work" "$1/root"
mount -t proc proc "$1/root/proc"
cp "$3" "$1/root/larder.deb"
root=$1 port=$4
run() { DEBIAN_FRONTEND=noninteractive LC_ALL=C chroot "$root/root" "$@"; }
run dpkg -i /larder.deb >&2
rm "$root/root/larder.deb"
run dpkg-query -W -f '${Status}\n' larder
run getent passwd larder
run readlink /etc/systemd/system/multi-user.target.wants/larder.service
chroot "$root/root" larder -u larder -l 127.0.0.1 -p "$port" >&2 &
echo serves
read -r _
run stat -c %U "/proc/$!"
kill $!
wait $!
echo "# mine" >> "$root/root/etc/default/larder"
run dpkg -r larder >&2
echo "after the removal:"
(cd "$root/changes" && find . -name '*larder*' -not -type c -not -path './var/lib/*')
run dpkg -P larder >&2
echo "after the purge:"
(cd "$root/changes" && find . -name '*larder*' -not -type c)
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    directory = tmp_path_factory.mktemp("deb")
    made = subprocess.run(
        ["make", "deb-built", f"BUILT={binary()}", f"DEB_DIRECTORY={directory}"], cwd=ROOT, capture_output=True,
        text=True, timeout=120)
    assert made.returncode == 0, made.stderr
    (path,) = directory.iterdir()
    return path


def field(package, name):
    return subprocess.run(["dpkg-deb", "-f", package, name], capture_output=True, text=True, check=True).stdout.strip()


def listed(package):
    """Files and their modes and owners."""
    lines = subprocess.run(["dpkg-deb", "-c", package], capture_output=True, text=True, check=True).stdout.splitlines()
    assert all(line.split()[1] == "root/root" for line in lines)
    return {line.split()[5].removeprefix("."): line.split()[0] for line in lines if not line.startswith("d")}


def test_contents(package):
    version = subprocess.run([binary(), "-V"], capture_output=True, text=True).stdout.split("Larder ")[1].rstrip(")\n")
    assert package.name == f"larder_{version}-1_{field(package, 'Architecture')}.deb"
    files = listed(package)
    assert set(files) == {
        "/usr/bin/larder", "/usr/share/man/man1/larder.1.gz", "/usr/share/bash-completion/completions/larder",
        "/usr/share/zsh/vendor-completions/_larder", "/usr/share/fish/vendor_completions.d/larder.fish",
        "/lib/systemd/system/larder.service", "/lib/systemd/system/larder@.service",
        "/lib/systemd/system/larder.socket", "/usr/lib/sysusers.d/larder.conf", "/etc/default/larder",
        "/usr/share/doc/larder/copyright", "/usr/share/doc/larder/changelog.gz",
        "/usr/share/doc/larder/changelog.Debian.gz", "/usr/share/lintian/overrides/larder"}
    assert {path for path, mode in files.items() if mode != "-rw-r--r--"} == {"/usr/bin/larder"}


def test_the_packages_of_its_libraries(package):
    """Every library that the program needs is in a package that it depends on."""
    packages = {each.split()[0] for each in field(package, "Depends").split(", ")}
    lines = subprocess.run(["ldd", binary()], capture_output=True, text=True, check=True).stdout.splitlines()
    needed = {line.split()[0] for line in lines if "=>" in line}
    assert any(name.startswith("libevent") for name in needed)
    for name in needed:
        owners = subprocess.run(["dpkg", "-S", f"*/{name}"], capture_output=True, text=True, check=True).stdout
        assert packages & {line.split(":")[0] for line in owners.splitlines()}, (name, packages)
    # The program loads them only if an option asks for them.
    assert not packages & {"libssl3", "libsasl2-2"}


def test_lintian(package):
    if not shutil.which("lintian"):
        cannot_test("lintian is not installed")
    checked = subprocess.run(
        ["lintian", "--fail-on", "error", package], capture_output=True, text=True, timeout=120)
    assert (checked.returncode, checked.stdout) == (0, ""), checked.stderr


def test_it_installs_serves_and_goes(package, tmp_path):
    port = free_port()
    if os.geteuid() != 0:
        cannot_test("only root installs packages")
    process = subprocess.Popen(
        ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-euc", STEPS, "sh", tmp_path, BASE, package,
         str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        installed = [process.stdout.readline().rstrip("\n") for _ in range(4)]
        if not installed[-1]:
            pytest.fail(process.communicate(timeout=20)[1])
        assert installed[0] == "install ok installed"
        assert installed[1].startswith("larder:") and installed[1].endswith(":/var/lib/larder:/usr/sbin/nologin")
        assert installed[2:] == ["/lib/systemd/system/larder.service", "serves"]
        with poll(lambda: connected(port), "the installed server accepts", 20) as connection:
            assert connection.set(b"key", b"value") == b"STORED" and connection.get(b"key") == b"value"
        rest, errors = process.communicate("go on\n", timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, errors
    user, _, *left, last = rest.splitlines()
    # The user who changed the settings, and enabled the service, finds both again after an installation.
    assert (user, sorted(left), last) == (
        "larder", ["./etc/default/larder", "./etc/systemd/system/multi-user.target.wants/larder.service"],
        "after the purge:"), errors


def connected(port):
    try:
        return Connection(("127.0.0.1", port))
    except ConnectionRefusedError:
        return None
