"""What build_zipapp.py makes of tags, wheels and files; no network, wheels of a few bytes."""

from __future__ import annotations

import ast
import hashlib
import importlib.machinery
import json
import os
import stat
import subprocess
import sys
import sysconfig
import zipfile
import zipimport
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

import build_zipapp
from build_zipapp import BuildError, Platform, Wheel

OURS = ("photos.py", "renditions.py", "bootstrap.py", "LICENSE")
PILLOW = "pillow-13.0.0-cp{0}-cp{0}-{1}.whl"
HEIF = "pillow_heif-1.8.1-cp{0}-cp{0}-{1}.whl"
LINUX, ARM = "manylinux_2_27_x86_64.manylinux_2_28_x86_64", "manylinux_2_28_aarch64"


def wheel(name: str) -> Wheel:
    return Wheel.parse("0" * 64, name)


# Names of wheels


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("manylinux_2_28_x86_64", ("manylinux", (2, 28), "x86_64")),
        ("manylinux_2_17_aarch64", ("manylinux", (2, 17), "aarch64")),
        ("musllinux_1_2_x86_64", ("musllinux", (1, 2), "x86_64")),
        ("macosx_10_15_x86_64", ("macosx", (10, 15), "x86_64")),
        ("macosx_11_0_arm64", ("macosx", (11, 0), "arm64")),
        ("win_amd64", ("win", (), "amd64")),
        ("win_arm64", ("win", (), "arm64")),
    ],
)
def test_a_platform_tag_names_system_version_and_machine(
    tag: str, expected: tuple[object, ...]
) -> None:
    assert Platform.parse(tag) == expected


def test_the_name_of_a_wheel_tells_what_it_is_for() -> None:
    native = wheel(PILLOW.format("312", LINUX))
    assert (native.package, native.version, native.python) == ("pillow", "13.0.0", "312")
    assert native.tag == "manylinux_2_27_x86_64"
    pure = wheel("bottle-0.13.4-py2.py3-none-any.whl")
    assert (pure.package, pure.version, pure.tag) == ("bottle", "0.13.4", "any")
    built = wheel("pillow-13.0.0-1-cp311-cp311-win_amd64.whl")
    assert (built.version, built.python, built.tag) == ("13.0.0", "311", "win_amd64")


def test_the_wheels_for_a_platform_are_those_of_any_version_of_its_system() -> None:
    names = [
        PILLOW.format(python, tag)
        for python in ("311", "312")
        for tag in (LINUX, ARM, "win_amd64")
    ]
    names += [
        HEIF.format("311", LINUX),
        HEIF.format("311", "musllinux_1_2_x86_64"),
        "bottle-1-py3-none-any.whl",
    ]
    wheels = [wheel(name) for name in names]
    chosen = build_zipapp.native_wheels(wheels, "manylinux_2_17_x86_64", "311")
    assert [each.filename for each in chosen] == [
        PILLOW.format("311", LINUX),
        HEIF.format("311", LINUX),
    ]
    assert build_zipapp.native_wheels(wheels, "macosx_11_0_arm64", "311") == []


def test_the_lock_file_has_every_package_for_every_python_on_every_platform() -> None:
    wheels = build_zipapp.locked_wheels()
    assert [each.filename for each in wheels] == sorted({each.filename for each in wheels})
    assert all(len(each.sha256) == 64 and int(each.sha256, 16) for each in wheels)
    assert len({(each.package, each.version) for each in wheels}) == len(
        build_zipapp.PACKAGES
    )
    for tag in build_zipapp.platform_tags("all"):
        for python in build_zipapp.PYTHONS:
            packages = [
                each.package for each in build_zipapp.native_wheels(wheels, tag, python)
            ]
            assert packages in (["pillow", "pillow_heif"], ["pillow"]), (tag, python)


# Platforms


def test_each_name_of_a_system_means_its_two_processors() -> None:
    assert build_zipapp.platform_tags("linux") == [
        "manylinux_2_28_x86_64",
        "manylinux_2_28_aarch64",
    ]
    each = [
        tag for name in build_zipapp.PLATFORMS for tag in build_zipapp.platform_tags(name)
    ]
    assert build_zipapp.platform_tags("all") == each and len(set(each)) == 8


@pytest.mark.parametrize(
    ("system", "suffix", "name", "machine", "expected"),
    [
        (
            "linux",
            ".cpython-311-x86_64-linux-gnu.so",
            "linux-x86_64",
            "x86_64",
            "manylinux_2_28_x86_64",
        ),
        (
            "linux",
            ".cpython-311-aarch64-linux-gnu.so",
            "linux-aarch64",
            "aarch64",
            "manylinux_2_28_aarch64",
        ),
        (
            "linux",
            ".cpython-312-x86_64-linux-musl.so",
            "linux-x86_64",
            "x86_64",
            "musllinux_1_2_x86_64",
        ),
        (
            "darwin",
            ".cpython-313-darwin.so",
            "macosx-11-universal2",
            "arm64",
            "macosx_11_0_arm64",
        ),
        (
            "darwin",
            ".cpython-313-darwin.so",
            "macosx-10.9-universal2",
            "x86_64",
            "macosx_10_15_x86_64",
        ),
        ("win32", ".cp311-win_amd64.pyd", "win-amd64", "AMD64", "win_amd64"),
        ("win32", ".cp311-win_arm64.pyd", "win-arm64", "ARM64", "win_arm64"),
    ],
)
def test_this_platform_goes_by_the_interpreter(
    system: str,
    suffix: str,
    name: str,
    machine: str,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pretend(monkeypatch, system, suffix, name, machine)
    assert build_zipapp.this_platform() == expected
    assert build_zipapp.platform_tags("this") == [expected]


@pytest.mark.parametrize(
    ("system", "suffix", "name", "machine"),
    [
        ("linux", ".cpython-311-i386-linux-gnu.so", "linux-x86_64", "x86_64"),
        ("linux", ".cpython-311-arm-linux-gnueabihf.so", "linux-armv7l", "aarch64"),
        ("win32", ".cp311-win32.pyd", "win32", "AMD64"),
        ("freebsd14", ".cpython-311.so", "freebsd-14.0-amd64", "amd64"),
    ],
)
def test_a_machine_without_wheels_is_told_how_to_build_for_others(
    system: str, suffix: str, name: str, machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, system, suffix, name, machine)
    with pytest.raises(BuildError, match=f"no wheels for this machine \\({name}\\)"):
        build_zipapp.this_platform()


def pretend(
    monkeypatch: pytest.MonkeyPatch, system: str, suffix: str, name: str, machine: str
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(
        importlib.machinery, "EXTENSION_SUFFIXES", [suffix, ".abi3.so", ".so"]
    )
    monkeypatch.setattr(sysconfig, "get_platform", lambda: name)
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine=machine))


# What the file begins with


def test_the_first_code_parses_on_every_python_and_says_which_it_needs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ast.parse(build_zipapp.MAIN, feature_version=(3, 4))
    for version, said in (((2, 7, 18), "2.7"), ((3, 10, 13), "3.10")):
        monkeypatch.setattr(sys, "version_info", version)
        with pytest.raises(SystemExit) as stopped:
            exec(compile(build_zipapp.MAIN, "__main__.py", "exec"), {})
        assert stopped.value.code == 3
        assert (
            capsys.readouterr().err
            == f"photos: photos.pyz needs Python 3.11 or newer, this is {said}.\n"
        )


def test_the_first_lines_start_python_and_tell_of_a_copy_that_was_cut() -> None:
    lines = build_zipapp.PREFIX.split(b"\n")
    assert lines[0] == b"#!/usr/bin/env python3" and len(lines) == 3
    with pytest.raises(SyntaxError, match="this-file-is-incomplete--copy-it-again"):
        compile(build_zipapp.PREFIX, "photos.pyz", "exec")


# A project with wheels of a few bytes


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project to build, for Pythons 3.11 and 3.12 on two platforms."""
    home = tmp_path / "project"
    (home / ".wheels").mkdir(parents=True)
    (home / "templates").mkdir()
    (home / "photos.py").write_text('"""Photos."""\n__version__ = "1.2.3"\n')
    (home / "renditions.py").write_text('"""Renditions."""\n')
    (home / "bootstrap.py").write_text("def main(loader): return 0\n")
    (home / "LICENSE").write_text("MIT\n")
    for name in "cab":
        (home / "templates" / f"{name}.html").write_text(name)
    for name, path in {
        "HOME": home,
        "LOCK": home / "wheels.lock",
        "WHEELS": home / ".wheels",
    }.items():
        monkeypatch.setattr(build_zipapp, name, path)
    for name in ("bottle-0.13-py3-none-any.whl", "pyjwt-2.0-py3-none-any.whl"):
        package = name.split("-")[0]
        add_wheel(
            home,
            name,
            {
                f"{package}.py": package,
                f"{package}/py.typed": "",
                "same.txt": "the same" * 99,
            },
        )
    for python in ("311", "312"):
        for tag in (LINUX, ARM):
            module = f"cpython-{python}-{tag.split('_', 3)[3].split('.')[0]}-linux-gnu.so"
            files = {
                f"PIL/_imaging.{module}": python + tag,
                "PIL/Image.py": "image" * 99,
                "PIL/Image.pyi": "",
            }
            add_wheel(home, PILLOW.format(python, tag), files)
            add_wheel(
                home,
                HEIF.format(python, tag),
                {"pillow_heif/__init__.py": "heif"},
                terms="LGPL " + tag,
            )
    monkeypatch.setattr(
        build_zipapp, "run_pip", lambda *_: pytest.fail("it needs nothing from the network")
    )
    return home


def add_wheel(project: Path, name: str, files: dict[str, str], terms: str = "MIT") -> None:
    """Make a wheel and lock it."""
    package, version = name.split("-")[:2]
    about = f"{package}-{version}.dist-info"
    files = files | {
        f"{about}/METADATA": f"Name: {package}\nLicense-Expression: {terms.split()[0]}\n",
        f"{about}/RECORD": "",
        f"{about}/licenses/LICENSE": f"{package}: {terms}",
    }
    path = project / ".wheels" / name
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("folder")
        for inner, content in files.items():
            archive.writestr(inner, content)
    with (project / "wheels.lock").open("a") as lock:
        lock.write(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name}\n")


@pytest.fixture
def build(project: Path, tmp_path: Path) -> Callable[..., zipfile.ZipFile]:
    """Builds for Linux; returns the open archive."""

    def make(which: str = "linux", *, heif: bool = True) -> zipfile.ZipFile:
        path = tmp_path / "dist" / "photos.pyz"
        build_id = build_zipapp.build(which, path, heif=heif)
        archive = zipfile.ZipFile(path)
        assert json.loads(archive.read("build.json"))["build"] == build_id
        return archive

    return make


Build = Callable[..., zipfile.ZipFile]


def folder(archive: zipfile.ZipFile, listed: str) -> dict[str, bytes]:
    """Return the files that a list of an archive names, each checked."""
    content = archive.read(f"lists/{listed}")
    assert hashlib.sha256(content).hexdigest() == listed
    files = {}
    for line in content.decode().splitlines():
        sha256, size, path = line.split(" ", 2)
        files[path] = archive.read(f"files/{sha256}")
        assert (hashlib.sha256(files[path]).hexdigest(), len(files[path])) == (
            sha256,
            int(size),
        )
    assert list(files) == sorted(files)
    return files


def test_the_archive_holds_each_folder_and_each_distinct_file_once(build: Build) -> None:
    with build() as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert names == sorted(set(names))
        told = json.loads(archive.read("build.json"))
        app = folder(archive, told["app"])
        assert set(app) == {
            *("photos.py", "renditions.py"),
            *("templates/a.html", "templates/b.html", "templates/c.html"),
            *("bottle.py", "pyjwt.py", "same.txt"),
        }
        assert told["version"] == "1.2.3" and len(told["build"]) == 12
        targets = [
            (each["python"], each["system"], each["version"], each["machine"])
            for each in told["targets"]
        ]
        assert targets == [
            (python, "manylinux", version, machine)
            for version, machine in (([2, 27], "x86_64"), ([2, 28], "aarch64"))
            for python in ("311", "312")
        ]
        for each in told["targets"]:
            assert (
                each["suffix"]
                == f".cpython-{each['python']}-{each['machine']}-linux-gnu.so"
            )
            native = folder(archive, each["files"])
            assert set(native) == {
                f"PIL/_imaging{each['suffix']}",
                "PIL/Image.py",
                "pillow_heif/__init__.py",
            }
        assert len([name for name in names if name.startswith("files/")]) == 8 + 4 + 2


def test_files_of_wheels_keep_their_compression_and_ours_have_none(build: Build) -> None:
    with build() as archive:
        method = {info.filename: info.compress_type for info in archive.infolist()}
        told = json.loads(archive.read("build.json"))
        lines = archive.read(f"lists/{told['app']}").decode().splitlines()
    kept = {line.split(" ", 2)[2]: method[f"files/{line.split()[0]}"] for line in lines}
    assert (
        kept["same.txt"] == zipfile.ZIP_DEFLATED and kept["photos.py"] == zipfile.ZIP_STORED
    )
    assert {method[name] for name in ("__main__.py", "bootstrap.py", "build.json")} == {
        zipfile.ZIP_STORED
    }


def test_python_and_other_programs_can_read_and_run_the_archive(
    build: Build, project: Path
) -> None:
    with build() as archive:
        path = str(archive.filename)
        infos = archive.infolist()
    assert {info.date_time for info in infos} == {(1980, 1, 1, 0, 0, 0)}
    assert {info.external_attr >> 16 for info in infos} == {stat.S_IFREG | 0o644}
    assert zipimport.zipimporter(path).get_data("__main__.py").decode() == build_zipapp.MAIN
    (project / "bootstrap.py").write_text(
        "def main(loader): print(loader.archive); return 9\n"
    )
    build().close()
    done = subprocess.run(
        [sys.executable, path], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (9, f"{path}\n")
    assert os.stat(path).st_mode & 0o777 == 0o755 and os.listdir(os.path.dirname(path)) == [
        "photos.pyz"
    ]


def test_equal_input_gives_equal_bytes_in_whatever_order_it_is_found(
    build: Build, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with build() as archive:
        first = Path(str(archive.filename)).read_bytes()
    for path in project.rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(0o700)
    listed = Path.iterdir
    monkeypatch.setattr(
        Path, "iterdir", lambda path: iter(sorted(listed(path), reverse=True))
    )
    with build() as archive:
        assert Path(str(archive.filename)).read_bytes() == first


@pytest.mark.parametrize("name", [*OURS, "templates/a.html"])
def test_any_change_of_ours_changes_the_build_id(
    name: str, build: Build, project: Path
) -> None:
    def build_id() -> str:
        with build() as archive:
            return str(json.loads(archive.read("build.json"))["build"])

    before = build_id()
    assert build_id() == before
    with (project / name).open("a") as file:
        file.write("# more\n")
    assert build_id() != before


def test_the_notice_names_all_parts_and_each_has_its_licence(build: Build) -> None:
    with build() as archive:
        notice = archive.read("NOTICE").decode()
        licences = {name for name in archive.namelist() if name.startswith("licenses/")}
        assert archive.read("licenses/pillow/LICENSE") == b"pillow: MIT"
    for line in (
        "photos 1.2.3: MIT",
        "bottle 0.13: MIT",
        "pillow 13.0.0: MIT",
        "pillow_heif 1.8.1: LGPL",
    ):
        assert f"{line}\n" in notice
    assert "x265 (GPL-2.0)" in notice
    packages = ("bottle", "photos", "pillow", "pillow_heif", "pyjwt")
    # The wheels of pillow-heif are not all on the same terms here.
    assert licences == {f"licenses/{name}/LICENSE" for name in packages} | {
        "licenses/pillow_heif/LICENSE.manylinux_2_28_aarch64"
    }


def test_without_heif_nothing_of_it_is_inside(build: Build) -> None:
    with build(heif=False) as archive:
        everything = b"".join(
            [
                *(name.encode() for name in archive.namelist()),
                *map(archive.read, archive.namelist()),
            ]
        )
    assert b"heif" not in everything and b"GPL" not in everything


def test_a_package_without_stated_terms_has_its_own(build: Build, project: Path) -> None:
    about = "waitress-3.0.dist-info"
    name = "waitress-3.0-py3-none-any.whl"
    path = project / ".wheels" / name
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{about}/METADATA", "Name: waitress\n")
        wheel.writestr("waitress/__init__.py", "")
    with (project / "wheels.lock").open("a") as lock:
        lock.write(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name}\n")
    with build() as archive:
        assert b"waitress 3.0: its own\n" in archive.read("NOTICE")


def test_parts_of_a_wheel_that_are_not_needed_are_left_out(
    build: Build, project: Path
) -> None:
    files = {
        "lib.py": "",
        "lib.libs/libx.so": "library",
        "lib-1.0.data/scripts/lib": "script",
        "lib-1.0.data/data/etc/lib.conf": "configuration",
        "lib/stub.pyi": "",
        "lib/py.typed": "",
        "lib/data/table.txt": "table",
    }
    add_wheel(project, "lib-1.0-py3-none-any.whl", files)
    with build() as archive:
        app = folder(archive, json.loads(archive.read("build.json"))["app"])
    assert {path for path in app if "lib" in path} == {
        "lib.py",
        "lib.libs/libx.so",
        "lib/data/table.txt",
    }


# Wheels and pip


def test_a_wheel_is_there_with_every_byte_only(project: Path) -> None:
    known = build_zipapp.locked_wheels()[0]
    assert build_zipapp.is_there(known)
    with known.path.open("ab") as file:
        file.write(b"x")
    assert not build_zipapp.is_there(known)
    known.path.unlink()
    assert not build_zipapp.is_there(known)


def test_only_wheels_that_are_missing_are_fetched(
    build: Build,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lost = build_zipapp.locked_wheels()[0]
    content = lost.path.read_bytes()
    lost.path.unlink()
    asked: list[tuple[str, ...]] = []

    def download(pip: list[str], *arguments: str) -> str:
        asked.append(arguments)
        wanted = Path(arguments[arguments.index("-r") + 1]).read_text()
        assert wanted == f"bottle==0.13 --hash=sha256:{lost.sha256}\n"
        Path(arguments[arguments.index("-d") + 1], lost.filename).write_bytes(content)
        return ""

    monkeypatch.setattr(build_zipapp, "find_pip", lambda _: ["pip"])
    monkeypatch.setattr(build_zipapp, "run_pip", download)
    build().close()
    assert len(asked) == 1 and "--require-hashes" in asked[0]
    assert not any("--platform" in argument for argument in asked[0])
    assert lost.filename in capsys.readouterr().out
    build().close()
    assert len(asked) == 1
    content = b"something else"
    lost.path.unlink()
    with pytest.raises(BuildError, match=f"something other than {lost.filename}"):
        build()


def test_what_pip_complains_of_is_passed_on() -> None:
    complain = "import sys; print('WARNING: x\\nERROR: first\\nERROR: no such wheel', file=sys.stderr); sys.exit(1)"
    with pytest.raises(BuildError, match=r"^pip failed: no such wheel\b"):
        build_zipapp.run_pip([sys.executable, "-c", complain])
    with pytest.raises(BuildError, match=r"^pip failed: "):
        build_zipapp.run_pip([sys.executable, "-c", "raise SystemExit(1)"])
    assert build_zipapp.run_pip([sys.executable, "-c", "print('good')"]) == "good\n"


# Command line


def test_the_command_line_builds_and_says_what_is_inside(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        sys,
        "argv",
        ["build_zipapp.py", "--for", "linux", "-o", str(project / "out" / "x.pyz")],
    )
    assert build_zipapp.main() == 0
    said = capsys.readouterr().out
    assert "version 1.2.3, build " in said and "GPL" in said
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--no-heif"])
    assert build_zipapp.main() == 0
    assert "GPL" not in capsys.readouterr().out


def test_a_build_that_fails_says_why_in_one_line_and_leaves_nothing(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "LICENSE").unlink()
    monkeypatch.setattr(
        sys,
        "argv",
        ["build_zipapp.py", "--for", "linux", "-o", str(project / "out" / "x.pyz")],
    )
    assert build_zipapp.main() == 1
    said = capsys.readouterr().err
    assert (
        said.startswith("build_zipapp.py: ") and "LICENSE" in said and said.count("\n") == 1
    )
    assert not (project / "out").exists()


def test_ctrl_c_ends_a_build_with_one_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def build(*arguments: object, **options: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(build_zipapp, "build", build)
    monkeypatch.setattr(sys, "argv", ["build_zipapp.py"])
    assert build_zipapp.main() == 1
    assert capsys.readouterr().err == "\nStopped.\n"
