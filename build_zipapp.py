#!/usr/bin/env python3
"""Build `photos.pyz`: the album server with all that it needs, in one file.

    python3 build_zipapp.py [--for this|linux|mac|windows|musl|all] [--no-heif] [-o FILE]
    python3 build_zipapp.py --renew        writes the newest releases to wheels.lock

The file is a zip archive that Python runs. Its entries are sorted by name:

    NOTICE, licenses/     the authors of all parts, and their terms
    __main__.py           refuses a Python that is too old, else calls the bootstrap
    bootstrap.py          unpacks what a machine needs, once, and starts photos.py from there
    build.json            version, build id, list of the app, targets with their lists
    files/SHA256          each distinct file, once
    lists/SHA256          what a folder holds: lines of `SHA256 SIZE PATH`

Equal input gives equal bytes: the archive has sorted names and one date, and nothing is compressed
here. Files of wheels keep the deflate streams that the wheels hold; our own files are stored.
"""

from __future__ import annotations

import argparse
import fnmatch
import hashlib
import importlib.machinery
import itertools
import json
import os
import re
import signal
import struct
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit("build_zipapp.py needs Python 3.11 or newer.")

HOME = Path(__file__).resolve().parent
LOCK = HOME / "wheels.lock"
WHEELS = HOME / ".wheels"
HEIF = "pillow_heif"  # the package that --no-heif leaves out
PYTHONS = ("311", "312", "313", "314", "315")


class BuildError(Exception):
    """Says in one sentence why nothing was built."""


def sha256_of(content: bytes) -> str:
    """Return a SHA-256 in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


# --- Platforms ---------------------------------------------------------------

# The oldest systems that pip has to find wheels for. Wheels for still older systems fit, too.
PLATFORMS = {
    "linux": ("manylinux_2_28_x86_64", "manylinux_2_28_aarch64"),
    "mac": ("macosx_10_15_x86_64", "macosx_11_0_arm64"),
    "windows": ("win_amd64", "win_arm64"),
    "musl": ("musllinux_1_2_x86_64", "musllinux_1_2_aarch64"),
}
ALL_PLATFORMS = tuple(itertools.chain.from_iterable(PLATFORMS.values()))
# The C library of a system, as the suffixes of native modules name it.
C_LIBRARIES = {"manylinux": "gnu", "musllinux": "musl"}


class Platform(NamedTuple):
    """What a platform tag says (PEP 425, 600 and 656)."""

    system: str  # manylinux, musllinux, macosx or win
    version: tuple[int, ...]  # the oldest of the C library or of macOS; () for Windows
    machine: str

    @classmethod
    def parse(cls, tag: str) -> Platform:
        """Read a tag, such as manylinux_2_28_x86_64 or win_amd64."""
        system, _, rest = tag.partition("_")
        match = re.match(r"(\d+)_(\d+)_(.+)", rest)
        if not match:
            return cls(system, (), rest)
        major, minor, machine = match.groups()
        return cls(system, (int(major), int(minor)), machine)

    @property
    def kind(self) -> tuple[str, str]:
        """System and machine, of whatever version."""
        return self.system, self.machine


def is_platform_of(tag: str, suffix: str, name: str) -> bool:
    """Return whether a tag is for an interpreter with a suffix of native modules and a name."""
    system, _, machine = Platform.parse(tag)
    if system in C_LIBRARIES:
        return f"-{machine}-linux-{C_LIBRARIES[system]}." in suffix
    return bool(re.fullmatch(rf"{system}\b.*-{machine}", name))


def this_platform() -> str:
    """Return the tag of this interpreter, which may be a 32-bit one on a 64-bit system."""
    suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
    name = sysconfig.get_platform()
    if sys.platform == "darwin":  # one build of Python may be for two processors
        name = f"macosx-{os.uname().machine}"
    for tag in ALL_PLATFORMS:
        if is_platform_of(tag, suffix, name):
            return tag
    raise BuildError(
        f"There are no wheels for this machine ({name}). To build for others: --for all"
    )


def platform_tags(which: str) -> list[str]:
    """Return the platforms that a value of --for means."""
    if which == "this":
        return [this_platform()]
    if which == "all":
        return list(ALL_PLATFORMS)
    return list(PLATFORMS[which])


# --- Wheels ------------------------------------------------------------------

DOWNLOADS = 4  # at a time
# What pip is asked for. The lock file has these names with underscores, as wheels have them.
PACKAGES = ("bottle", "pillow", "pillow-heif", "pyjwt", "segno", "waitress")


class Wheel(NamedTuple):
    """A line of the lock file: a wheel, whose name says what the wheel is for (PEP 427)."""

    sha256: str
    filename: str
    package: str
    version: str
    python: str  # whose native modules it has, such as 311; 'none'
    tag: str  # the platform, or 'any'

    @classmethod
    def parse(cls, sha256: str, filename: str) -> Wheel:
        """Read the name of a wheel."""
        parts = filename.removesuffix(".whl").split("-")
        package, version = parts[:2]
        python = parts[-2].removeprefix("cp")
        tag, *_ = parts[-1].split(".")  # the first of several tags names the oldest system
        return cls(sha256, filename, package, version, python, tag)

    @property
    def requirement(self) -> str:
        """What makes pip choose this version."""
        return f"{self.package}=={self.version}"

    @property
    def path(self) -> Path:
        return WHEELS / self.filename


def locked_wheels() -> list[Wheel]:
    """Return the wheels of the lock file, whose lines are those of `sha256sum`."""
    text = LOCK.read_text(encoding="ascii")
    return [Wheel.parse(*line.split()) for line in text.splitlines() if line]


def native_wheels(wheels: Iterable[Wheel], tag: str, python: str) -> list[Wheel]:
    """Return the native wheels for a platform, of whatever version, and a version of Python."""
    kind = Platform.parse(tag).kind
    native = [wheel for wheel in wheels if wheel.python == python]
    return [wheel for wheel in native if Platform.parse(wheel.tag).kind == kind]


def is_there(wheel: Wheel) -> bool:
    """Return whether every byte of a wheel was downloaded before."""
    return wheel.path.exists() and sha256_of(wheel.path.read_bytes()) == wheel.sha256


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command; return its status and output, and print nothing."""
    return subprocess.run(command, capture_output=True, text=True, check=False)


def find_pip(folder: str) -> list[str]:
    """Return a command that runs pip: this Python's, else that of a new environment in a folder."""
    own_pip = [sys.executable, "-m", "pip"]
    if run([*own_pip, "--version"]).returncode == 0:
        return own_pip
    if run([sys.executable, "-m", "venv", folder]).returncode:
        advice = "On Debian, Ubuntu and Raspberry Pi OS: sudo apt install python3-pip"
        raise BuildError(f"A build needs pip. {advice}")
    programs = "Scripts" if os.name == "nt" else "bin"
    python = os.path.join(folder, programs, "python")
    return [python, "-m", "pip"]


def run_pip(pip: list[str], *arguments: str) -> str:
    """Run pip and return what it prints. Raises BuildError with pip's last error."""
    flags = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "-q"]
    finished = run([*pip, *arguments, *flags])
    if finished.returncode:
        errors = re.findall(r"^ERROR: (.+)$", finished.stderr, re.MULTILINE)
        reason = errors[-1] if errors else "it does not say why"
        raise BuildError(f"pip failed: {reason} (Is there a network?)")
    return finished.stdout


def target_flags(tag: str, python: str) -> list[str]:
    """Return the flags that make pip choose for another machine."""
    return [
        f"--platform={tag}",
        f"--python-version={python}",
        "--implementation=cp",
        f"--abi=cp{python}",
    ]


def fetch(pip: list[str], wheel: Wheel) -> None:
    """Download a wheel, which must have the SHA-256 of the lock file."""
    with tempfile.TemporaryDirectory(dir=WHEELS) as folder:
        requirements = Path(folder, "requirements.txt")
        requirements.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n")
        flags = ["--require-hashes", "-r", os.fspath(requirements), "-d", folder]
        if wheel.tag != "any":
            flags += target_flags(wheel.tag, wheel.python)
        run_pip(pip, "download", *flags)
        downloaded = Path(folder, wheel.filename)
        downloaded.replace(wheel.path)
    if not is_there(wheel):
        raise BuildError(f"pip brought something other than {wheel.filename}.")


def provide(wheels: Iterable[Wheel]) -> None:
    """Download the wheels that are missing, with a line for each."""
    WHEELS.mkdir(exist_ok=True)
    missing = [wheel for wheel in wheels if not is_there(wheel)]
    if not missing:
        return
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(DOWNLOADS) as pool:
        pip = find_pip(folder)
        print(f"Wheels to fetch: {len(missing)}", flush=True)
        downloads = pool.map(lambda wheel: fetch(pip, wheel), missing)
        for wheel, _ in zip(missing, downloads, strict=True):
            megabytes = wheel.path.stat().st_size / 1e6
            print(f"{megabytes:6.1f} MB  {wheel.filename}", flush=True)


def newest_wheels(pip: list[str], flags: list[str], requirements: list[str]) -> list[Wheel]:
    """Return the wheels that pip would install; `flags` say on which machine."""
    with tempfile.TemporaryDirectory() as folder:
        dry_run = ["--dry-run", "--ignore-installed", f"--target={folder}", "--report=-"]
        report = run_pip(pip, "install", *dry_run, *flags, *requirements)
    wheels = []
    for package in json.loads(report)["install"]:
        download = package["download_info"]
        hashes = download["archive_info"]["hashes"]
        filename = download["url"].rpartition("/")[2]
        wheels.append(Wheel.parse(hashes["sha256"], filename))
    return wheels


def renew() -> None:
    """Write the lock file: the newest release of each package, the same for all machines."""
    wheels: dict[str, Wheel] = {}  # by file name
    requirements = list(PACKAGES)
    with tempfile.TemporaryDirectory() as folder:
        pip = find_pip(folder)
        for tag, python in itertools.product(ALL_PLATFORMS, PYTHONS):
            flags = target_flags(tag, python)
            for wheel in newest_wheels(pip, flags, requirements):
                wheels[wheel.filename] = wheel
            # The other machines get the versions that the first one got.
            requirements = sorted({wheel.requirement for wheel in wheels.values()})
            print(f"{tag}, Python {python}: {', '.join(requirements)}", flush=True)
    lines = [f"{wheels[name].sha256}  {name}\n" for name in sorted(wheels)]
    LOCK.write_text("".join(lines), encoding="ascii")


# --- Files -------------------------------------------------------------------

MODULES = ("photos.py", "renditions.py")  # our own, which run from an unpacked folder
# APPNOTE.TXT 4.3.7: a local header has 30 bytes; it ends with the lengths of name and extra field.
LOCAL_HEADER = struct.Struct("<26xHH")
# Folders of a wheel whose files pip moves to the top (PEP 427).
LIBRARY_FOLDER = re.compile(r"^[^/]+\.data/(platlib|purelib)/")
# Metadata, scripts and other data, type stubs.
UNNEEDED = re.compile(r"^[^/]+\.(dist-info|data)/|\.pyi$|/py\.typed$")


class Stream(NamedTuple):
    """A file as a zip archive holds it."""

    sha256: str
    method: int  # 0: stored, 8: deflated
    crc: int
    size: int  # bytes of the file
    raw: bytes  # what the archive holds of it


Files = dict[str, Stream]  # by path
Contents = dict[Wheel, Files]


def stored(content: bytes) -> Stream:
    """Return a file of ours. It is not compressed: versions of zlib need not agree."""
    return Stream(
        sha256=sha256_of(content),
        method=zipfile.ZIP_STORED,
        crc=zlib.crc32(content),
        size=len(content),
        raw=content,
    )


def raw_bytes(archive: bytes, info: zipfile.ZipInfo) -> bytes:
    """Return what a zip archive holds of a file."""
    name_length, extra_length = LOCAL_HEADER.unpack_from(archive, info.header_offset)
    start = info.header_offset + LOCAL_HEADER.size + name_length + extra_length
    return archive[start : start + info.compress_size]


def files_of(wheel: Wheel) -> Files:
    """Return the files of a wheel, compressed as they are there."""
    files = {}
    content = wheel.path.read_bytes()
    with zipfile.ZipFile(wheel.path) as archive:
        for info in archive.infolist():
            if info.is_dir():
                continue
            files[info.filename] = Stream(
                sha256=sha256_of(archive.read(info)),
                method=info.compress_type,
                crc=info.CRC,
                size=info.file_size,
                raw=raw_bytes(content, info),
            )
    return files


def installed(contents: Contents, wheels: Iterable[Wheel]) -> Files:
    """Return the files of wheels that the server needs, where pip puts them (PEP 427)."""
    files = {}
    for wheel in wheels:
        for path, stream in contents[wheel].items():
            installed_path = LIBRARY_FOLDER.sub("", path)
            if not UNNEEDED.search(installed_path):
                files[installed_path] = stream
    return files


def app_version() -> str:
    """Return the version that photos.py states."""
    source = (HOME / "photos.py").read_text(encoding="utf-8")
    match = re.search(r'^__version__ = "(.+)"$', source, re.MULTILINE)
    assert match
    return match[1]


def app_files() -> Files:
    """Return our modules and templates."""
    paths = [HOME / name for name in MODULES]
    paths += (HOME / "templates").glob("[!.]*[!~]")  # without what editors leave
    files = {}
    for path in paths:
        name = path.relative_to(HOME).as_posix()
        files[name] = stored(path.read_bytes())
    return files


# --- Licences ----------------------------------------------------------------

LICENCE = re.compile(r"[^/]+\.dist-info/(?:licenses/)?((?:LICEN|COPYING|AUTHORS).*)")
LICENCE_NAMED = re.compile(
    r"^(?:License(?:-Expression)?: |Classifier: License :: OSI Approved :: )(.+)$",
    re.MULTILINE,
)
NOTICE = (
    "photos.pyz holds works of several authors; "
    "their licences are in licenses/ of this archive.\n\n"
)
HEIF_NOTICE = """
The wheels of pillow-heif contain libheif and libde265 (LGPL-3.0) and x265 (GPL-2.0), whose terms hold for
a photos.pyz that contains them; where their sources are, licenses/ says. To build one without them:
python3 build_zipapp.py --no-heif
"""


def licence_files(contents: Contents) -> Files:
    """Return the licences of all parts; one that differs between platforms, for each of them."""
    own_licence = HOME / "LICENSE"
    licences = {"licenses/photos/LICENSE": stored(own_licence.read_bytes())}
    for wheel, files in contents.items():
        for path, stream in files.items():
            match = LICENCE.match(path)
            if not match:
                continue
            entry = f"licenses/{wheel.package}/{match[1]}"
            first = licences.setdefault(entry, stream)
            if first.sha256 != stream.sha256:
                licences[f"{entry}.{wheel.tag}"] = stream
    return licences


def terms_of(wheel: Wheel) -> str:
    """Return the licence that the metadata of a wheel states."""
    with zipfile.ZipFile(wheel.path) as archive:
        name, *_ = fnmatch.filter(archive.namelist(), "*.dist-info/METADATA")
        metadata = archive.read(name).decode()
    match = LICENCE_NAMED.search(metadata)
    return match[1].strip() if match else "its own"


def notice(wheels: Iterable[Wheel]) -> bytes:
    """Return the text that names all parts and their licences."""
    lines = {f"photos {app_version()}: MIT\n"}
    for wheel in wheels:
        lines.add(f"{wheel.package} {wheel.version}: {terms_of(wheel)}\n")
    text = NOTICE + "".join(sorted(lines))
    if any(wheel.package == HEIF for wheel in wheels):
        text += HEIF_NOTICE
    return text.encode()


# --- The archive -------------------------------------------------------------

# The first line lets a shell run the file. The second line names a text encoding that does not
# exist. Python reads neither of a complete file. If the end of the file is missing, which holds the
# directory of a zip archive, Python takes the file for a script, and its error shows the name.
PREFIX = b"#!/usr/bin/env python3\n# coding: this-file-is-incomplete--copy-it-again\n"

MAIN = '''\
"""Start the album server. This file must parse on any Python."""
import sys

if sys.version_info < (3, 11):  # noqa: UP036
    sys.stderr.write("photos: photos.pyz needs Python 3.11 or newer, this is %d.%d.\\n" % sys.version_info[:2])
    sys.exit(3)

try:
    import bootstrap

    sys.exit(bootstrap.main(__loader__))
except KeyboardInterrupt:
    sys.exit("\\nStopped.")
'''

# The parts of a zip archive (APPNOTE.TXT 4.3.7, 4.3.12 and 4.3.16).
COMMON_FIELDS = struct.Struct("<HHHHHLLLHH")
# Length of the comment, disk, internal and external attributes, offset of the entry.
DIRECTORY_FIELDS = struct.Struct("<HHHLL")
# Two disks, two numbers of entries, size and offset of the directory, length of the comment.
END_FIELDS = struct.Struct("<HHHHLLH")
MADE_BY = b"\x14\3"  # version 2.0, Unix
MODE = 0o100644  # a plain file


def add_folder(entries: Files, files: Files) -> str:
    """Add the files of a folder, each distinct one once; return the SHA-256 of their list."""
    lines = []
    for path, stream in sorted(files.items()):
        entries.setdefault(f"files/{stream.sha256}", stream)
        lines.append(f"{stream.sha256} {stream.size} {path}\n")
    list_stream = stored("".join(lines).encode())
    entries[f"lists/{list_stream.sha256}"] = list_stream
    return list_stream.sha256


def add_target(entries: Files, contents: Contents, wheels: list[Wheel]) -> dict[str, Any]:
    """Add the native packages for a platform and Python; return what the bootstrap compares."""
    files = installed(contents, wheels)
    platform = max(Platform.parse(wheel.tag) for wheel in wheels)
    module, *_ = fnmatch.filter(files, "PIL/_imaging.*")
    return {
        **platform._asdict(),
        "python": wheels[0].python,
        "suffix": module.removeprefix("PIL/_imaging"),
        "files": add_folder(entries, files),
    }


def common_fields(name: bytes, stream: Stream) -> bytes:
    """Return the fields that an entry has both before its content and in the directory."""
    return COMMON_FIELDS.pack(
        20,  # readers need version 2.0
        0,  # flags
        stream.method,
        0,  # time: 0:00
        0x21,  # date: 1980-01-01, the first that a zip archive can tell
        stream.crc,
        len(stream.raw),
        stream.size,
        len(name),
        0,  # length of the extra field
    )


def pack(entries: Files) -> bytes:
    """Return the archive, which Python can run."""
    archive = bytearray(PREFIX)
    directory = bytearray()
    for path, stream in sorted(entries.items()):
        name = path.encode("ascii")
        fields = common_fields(name, stream)
        directory += b"PK\1\2" + MADE_BY + fields
        directory += DIRECTORY_FIELDS.pack(0, 0, 0, MODE << 16, len(archive))
        directory += name
        archive += b"PK\3\4" + fields + name + stream.raw
    count = len(entries)
    end = END_FIELDS.pack(0, 0, count, count, len(directory), len(archive), 0)
    return bytes(archive + directory + b"PK\5\6" + end)


def write(path: Path, content: bytes) -> None:
    """Write a program in one step, as a server may be running from the one that is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        temporary.chmod(0o755)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def build_id(entries: Files, description: Mapping[str, Any]) -> str:
    """Return 12 hexadecimal digits that stand for all that the file holds."""
    text = ""
    for name, stream in sorted(entries.items()):
        text += f"{name} {stream.sha256}\n"
    text += json.dumps(description)
    return sha256_of(text.encode())[:12]


def build(which: str, output: Path, *, heif: bool) -> str:
    """Build the file for a value of --for; return the build id."""
    locked = [wheel for wheel in locked_wheels() if heif or wheel.package != HEIF]
    pure = [wheel for wheel in locked if wheel.tag == "any"]
    pairs = itertools.product(platform_tags(which), PYTHONS)
    targets = [native_wheels(locked, tag, python) for tag, python in pairs]
    wheels = [*pure, *itertools.chain.from_iterable(targets)]
    provide(wheels)
    contents = {wheel: files_of(wheel) for wheel in wheels}
    bootstrap = HOME / "bootstrap.py"
    entries = {
        "NOTICE": stored(notice(wheels)),
        "__main__.py": stored(MAIN.encode()),
        "bootstrap.py": stored(bootstrap.read_bytes()),
        **licence_files(contents),
    }
    app = app_files() | installed(contents, pure)
    description: dict[str, Any] = {
        "version": app_version(),
        "app": add_folder(entries, app),
        "targets": [add_target(entries, contents, target) for target in targets if target],
    }
    description["build"] = build_id(entries, description)
    text = json.dumps(description, indent=1, sort_keys=True)
    entries["build.json"] = stored(text.encode())
    write(output, pack(entries))
    return str(description["build"])


# --- Command line ------------------------------------------------------------


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Build photos.pyz.", allow_abbrev=False)
    parser.add_argument(
        "--for",
        dest="which",
        default="this",
        choices=["this", *PLATFORMS, "all"],
        help="machines (default: this)",
    )
    parser.add_argument(
        "--no-heif",
        action="store_true",
        help="leave out HEIC, whose decoders are GPL and LGPL",
    )
    parser.add_argument(
        "-o", dest="output", type=Path, default=HOME / "dist" / "photos.pyz", metavar="FILE"
    )
    parser.add_argument(
        "--renew", action="store_true", help="only write the newest releases to wheels.lock"
    )
    return parser.parse_args()


def main() -> int:
    """Build, or renew the lock file; return the exit status."""
    arguments = parse_arguments()
    heif = not arguments.no_heif
    try:
        if arguments.renew:
            renew()
            return 0
        digits = build(arguments.which, arguments.output, heif=heif)
    except (BuildError, OSError) as error:
        print(f"build_zipapp.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 1
    megabytes = arguments.output.stat().st_size / 1e6
    version = app_version()
    print(f"{arguments.output}: {megabytes:.1f} MB, version {version}, build {digits}")
    if heif:
        decoders = "libheif and libde265 (LGPL) and x265 (GPL)"
        print(f"It contains {decoders}, for HEIC photos; --no-heif leaves them out.")
    return 0


if __name__ == "__main__":
    if hasattr(signal, "SIGPIPE"):
        # A reader that stops early, such as `head`, ends the build quietly.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main())
