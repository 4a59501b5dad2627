"""Locks, modes and flushes of files, on every system; and no module that only some systems have."""

from __future__ import annotations

import errno
import importlib
import os
import pkgutil
import signal
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from age_core import AgeError, files
from age_core.files import locked, locked_folder, new_folder, replacing, sync

ROOT = Path(__file__).parents[1]
HOLD = """
import sys
from pathlib import Path
from age_core.files import locked, locked_folder
with (locked(Path(sys.argv[2]), "busy") if sys.argv[1] == "file" else locked_folder(Path(sys.argv[2]))):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(kind: str, path: Path) -> subprocess.Popen:
    """A process that holds the lock and has said so."""
    command = [sys.executable, "-c", HOLD, kind, str(path)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def test_a_lock_is_one_process_s_and_gone_when_it_is_killed(tmp_path):
    process = holder("file", tmp_path / "lock")
    with pytest.raises(AgeError, match="somebody else"), locked(tmp_path / "lock", "somebody else"):
        pass
    process.kill()
    process.wait()
    process.communicate()
    with (
        locked(tmp_path / "lock", "busy"),
        pytest.raises(AgeError, match="twice"),
        locked(tmp_path / "lock", "twice"),
    ):
        pass
    with locked(tmp_path / "lock", "busy"):
        pass


def test_a_folder_is_waited_for_and_free_when_its_holder_is_killed(tmp_path):
    process = holder("folder", tmp_path)
    waiting = subprocess.Popen(
        [sys.executable, "-c", HOLD, "folder", str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(1.5)
    process.kill()
    process.communicate()
    assert waiting.communicate("")[0] == "held\n" and waiting.returncode == 0
    assert not list(tmp_path.iterdir())


def test_a_lock_that_is_a_link_is_not_followed(tmp_path):
    (tmp_path / "outside").write_text("keep")
    (tmp_path / "lock").symlink_to(tmp_path / "outside")
    with pytest.raises(OSError) as caught, locked(tmp_path / "lock", "busy"):
        pass
    assert caught.value.errno == errno.ELOOP and (tmp_path / "outside").read_text() == "keep"


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.parametrize(("umask", "expected"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_what_is_written_has_the_mode_of_the_umask(tmp_path, umask, expected):
    before = os.umask(umask)
    try:
        with replacing(tmp_path / "weights") as temporary:
            save_file({"a": torch.ones(2)}, temporary)  # which by itself makes it 0600
        with replacing(tmp_path / "text") as temporary:
            temporary.write_text("hello")
        with new_folder(tmp_path / "folder") as temporary:
            save_file({"a": torch.ones(2)}, temporary / "weights")
    finally:
        os.umask(before)
    assert {mode(tmp_path / name) for name in ("weights", "text", "folder/weights")} == {expected}
    assert not list(tmp_path.glob("*.partial"))


def test_a_link_planted_where_a_file_is_written_is_not_followed(tmp_path):
    (tmp_path / "outside").write_text("keep")
    (tmp_path / "x.partial").symlink_to(tmp_path / "outside")
    with replacing(tmp_path / "x") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "outside").read_text() == "keep" and (tmp_path / "x").read_text() == "new"


def test_where_no_folder_can_be_opened(tmp_path, monkeypatch):
    """As on Windows, whose system call refuses."""
    real = os.open

    def refuse(path, *rest):
        if Path(path).is_dir():
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, *rest)

    monkeypatch.setattr(files, "WINDOWS", True)
    monkeypatch.setattr(files.os, "open", refuse)
    with locked_folder(tmp_path), new_folder(tmp_path / "a") as temporary:
        (temporary / "file").write_text("hello")
    sync(tmp_path)
    assert (tmp_path / "a" / "file").read_text() == "hello"


def open_in(folder: Path) -> set[str]:
    """The files of a folder that this process has open."""
    links = (Path("/proc/self/fd") / number for number in os.listdir("/proc/self/fd"))
    return {path.name for link in links if (path := Path(os.path.realpath(link))).parent == folder}


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux tells which files are open")
def test_where_no_folder_is_moved_while_a_file_in_it_is_open(tmp_path, monkeypatch):
    for windows, still_open in ((False, {"lock"}), (True, set())):
        monkeypatch.setattr(files, "WINDOWS", windows)
        with locked(tmp_path / "lock", "busy", moving=True):
            assert open_in(tmp_path) == still_open
        assert not open_in(tmp_path)
    with locked(tmp_path / "lock", "busy"):
        assert open_in(tmp_path) == {"lock"}  # and any other lock is held there as well
        with pytest.raises(AgeError, match="somebody"), locked(tmp_path / "lock", "somebody", moving=True):
            pass


# What only some systems have. The packages that are used ask for it where they need it, and so are imported before.
MODULES = ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog", "readline")
OF_OS = (
    *("fork", "forkpty", "getuid", "geteuid", "getgid", "getpgid", "setsid", "killpg", "chown", "fchmod", "mkfifo"),
    *("statvfs", "sysconf", "getloadavg", "sched_getaffinity", "uname", "sync", "wait3", "WNOHANG", "EX_OK"),
    *("O_NOFOLLOW", "O_DIRECTORY", "O_CLOEXEC", "O_NONBLOCK", "O_SYNC"),
)
SIGNALS = ("SIGKILL", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCHLD", "SIGQUIT", "SIGSTOP", "alarm")
PACKAGES = (
    *("diffusers.loaders.peft", "transformers.models.clip.modeling_clip", "transformers.models.bert.modeling_bert"),
    *("gradio", "joblib", "peft", "scipy.spatial", "sklearn.manifold", "torchmetrics"),
)


def import_everything_elsewhere() -> None:
    """Import all our modules anew, in a process of their own, as where there is no unix."""
    for name in PACKAGES:
        importlib.import_module(name)
    for name in [name for name in sys.modules if name.split(".")[0] in ("age_core", "app", "viz")]:
        del sys.modules[name]
    sys.modules.update(dict.fromkeys(MODULES))
    for name in OF_OS:
        if hasattr(os, name):
            delattr(os, name)
    for name in SIGNALS:
        delattr(signal, name)
    age_core, _, viz = (importlib.import_module(name) for name in ("age_core", "app", "viz"))
    names = [
        found.name for room in (age_core, viz) for found in pkgutil.walk_packages(room.__path__, f"{room.__name__}.")
    ]
    assert len(names) > 100
    for name in names:
        if not name.endswith("__main__"):
            importlib.import_module(name)
    for name in age_core.__all__:
        getattr(age_core, name)


def test_everything_can_be_imported_where_there_is_no_unix(context):
    process = context.Process(target=import_everything_elsewhere)
    process.start()
    process.join(120)
    assert process.exitcode == 0  # what it has said otherwise is shown


DEVICES = ["CON", "nul", "Aux", "prn", "COM1", "lpt9", "aux.txt", "con.tar.gz", "NUL .x", "com¹"]


@pytest.mark.parametrize("name", [*DEVICES, "dog.", "dog ", "a:b", "c:", "dog.zip:stream", "a/b", "a\\b", "a|b", "a?"])
def test_a_name_that_some_system_takes_for_something_else_names_nothing(name, tmp_path):
    with pytest.raises(AgeError, match="cannot name a "):
        files.safe_name(name)
    (tmp_path / "one").mkdir()
    with pytest.raises(AgeError):
        files.rename_folder(tmp_path / "one", name)


def test_names_that_only_look_like_devices_are_names():
    for name in ("console", "com", "com10", "lpt", "nullify", "auxiliary.txt", "com-1", "my con", "prn-001"):
        assert files.safe_name(name) == name


@pytest.mark.parametrize(("one", "other"), [("Dog", "dOG"), ("Straße", "STRASSE"), ("Caf\u00e9", "cafe\u0301")])
def test_names_that_some_systems_take_for_one_do_not_stand_side_by_side(one, other, tmp_path):
    with new_folder(tmp_path / one) as temporary:
        (temporary / "note").write_text("mine")
    with pytest.raises(AgeError, match="exists already"), new_folder(tmp_path / other):
        pass
    (tmp_path / "third").mkdir()
    with pytest.raises(AgeError, match="exists already"):
        files.rename_folder(tmp_path / "third", unicodedata.normalize("NFC", other))
    assert (tmp_path / one / "note").read_text() == "mine"
    (tmp_path / "third").rmdir()
    renamed = files.rename_folder(tmp_path / one, unicodedata.normalize("NFC", other).upper())
    assert (renamed / "note").read_text() == "mine" and os.listdir(tmp_path) == [renamed.name]
