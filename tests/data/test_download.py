"""Downloads from a local server: resume, checksums, archives that lead out of the folder."""

import hashlib
import io
import tarfile
import threading
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from vqwn_kit import InputError, download_corpus
from vqwn_kit.cli.main import main
from vqwn_kit.data import download
from vqwn_kit.data.archives import ARCHIVES, Archive


def tar_of(files: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, inside in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(inside)
            archive.addfile(member, io.BytesIO(inside))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return content.getvalue()


def zip_of(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, inside in files.items():
            archive.writestr(name, inside)
    return content.getvalue()


@pytest.fixture
def server():
    """Serves `files` by range; `asked` lists the ranges, `cut` breaks the connection."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            content = served.files.get(self.path)
            if content is None:
                self.send_error(404)
                return
            wanted = self.headers.get("Range")
            served.asked.append(wanted)
            first = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
            if not served.ranges:
                first = 0
            if first >= len(content):
                self.send_error(416)
                return
            self.send_response(206 if first else 200)
            self.send_header("Content-Length", str(len(content) - first))
            self.end_headers()
            end, served.cut = served.cut or len(content), 0
            self.wfile.write(content[first:end])

        def log_message(self, *args):
            pass

    served = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.files, served.asked, served.cut, served.ranges = {}, [], 0, True
    served.url = f"http://127.0.0.1:{served.server_address[1]}"
    thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield served
    served.shutdown()
    thread.join()
    served.server_close()


FILES = {"Speech/dev/1/2/1-2-0000.flac": b"sound" * 9000, "Speech/LICENSE": b"free"}


def offer(server, content: bytes, name: str = "speech.tar.gz", **changes) -> Archive:
    server.files[f"/{name}"] = content
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    archive = Archive((f"{server.url}/{name}",), md5, 0.0, "Speech/dev", licence="", title="")
    return replace(archive, **changes)


def fetch(archive, folder):
    return download_corpus("speech", folder, progress=False, archive=archive)


def test_an_archive_is_fetched_once_checked_and_unpacked(server, tmp_path):
    archive = offer(server, tar_of(FILES))
    corpus = fetch(archive, tmp_path)
    assert corpus == tmp_path / "Speech"
    for name, content in FILES.items():
        assert (tmp_path / name).read_bytes() == content
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Speech", "speech.tar.gz"]
    assert fetch(archive, tmp_path) == corpus
    assert server.asked == [None]


def test_a_second_subset_joins_the_first(server, tmp_path):
    fetch(offer(server, tar_of(FILES)), tmp_path)
    more = {"Speech/train/3.flac": b"x", "Speech/LICENSE": b"free, still"}
    fetch(offer(server, tar_of(more), "more.tar.gz", unpacks_to="Speech/train"), tmp_path)
    assert (tmp_path / "Speech/train/3.flac").read_bytes() == b"x"
    assert (tmp_path / "Speech/LICENSE").read_bytes() == b"free"
    assert (tmp_path / "Speech/dev").is_dir()


@pytest.mark.parametrize("ranges", [True, False])
def test_an_interrupted_download_is_resumed_where_the_server_can(server, tmp_path, ranges):
    content = zip_of({name.removeprefix("Speech/"): inside for name, inside in FILES.items()})
    archive = offer(server, content, "speech.zip", inside="Speech")
    server.cut, server.ranges = 20_000, ranges
    with pytest.raises(
        OSError, match=r"broke after 20000 of \d+ bytes.*are kept in .*speech.zip.part"
    ):
        fetch(archive, tmp_path)
    assert (tmp_path / "speech.zip.part").stat().st_size == 20_000
    fetch(archive, tmp_path)
    assert server.asked == [None, "bytes=20000-"]
    assert (tmp_path / "Speech/dev/1/2/1-2-0000.flac").read_bytes() == b"sound" * 9000


def test_a_part_that_is_already_complete_is_used(server, tmp_path):
    content = tar_of(FILES)
    (tmp_path / "speech.tar.gz.part").write_bytes(content)
    fetch(offer(server, content), tmp_path)
    assert (tmp_path / "Speech/LICENSE").read_bytes() == b"free"


def test_a_wrong_checksum_is_refused_and_nothing_is_unpacked(server, tmp_path):
    archive = offer(server, tar_of(FILES), md5="0" * 32)
    with pytest.raises(OSError, match=r"checksum [0-9a-f]{32}, expected 0{32}"):
        fetch(archive, tmp_path)
    assert list(tmp_path.iterdir()) == []
    file = tmp_path / "speech.tar.gz"
    file.write_bytes(b"put here by hand")
    with pytest.raises(InputError, match="is not what was published"):
        fetch(archive, tmp_path)
    assert file.read_bytes() == b"put here by hand"


def test_without_a_checksum_a_page_is_still_no_archive(server, tmp_path):
    archive = offer(server, b"<html>moved</html>", "speech.zip", md5="")
    with pytest.raises(OSError, match="it is no archive"):
        fetch(archive, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_another_address_is_tried(server, tmp_path):
    archive = offer(server, tar_of(FILES))
    away = (f"{server.url}/gone.tar.gz", *archive.urls)
    fetch(replace(archive, urls=away), tmp_path)
    assert (tmp_path / "Speech/LICENSE").is_file()


@pytest.mark.parametrize(
    "content",
    [
        tar_of({"Speech/dev/a": b"", "../outside": b"x"}),
        tar_of({"Speech/dev/a": b"", "/outside": b"x"}),
        tar_of({"Speech/dev/a": b""}, {"Speech/link": "/etc"}),
        zip_of({"Speech/dev/a": b"", "../outside": b"x"}),
        zip_of({"Speech/dev/a": b"", "Speech\\..\\..\\outside": b"x"}),
    ],
)
def test_archives_with_paths_out_of_the_folder_are_refused_whole(server, tmp_path, content):
    folder = tmp_path / "data"
    with pytest.raises(InputError, match="[Nn]othing was unpacked"):
        fetch(offer(server, content), folder)
    assert [path.name for path in folder.iterdir()] == ["speech.tar.gz"]
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_damaged_archive_without_checksum_is_named(server, tmp_path):
    whole = tar_of({"Speech/dev/a": bytes(range(256)) * 4000, **FILES})
    with pytest.raises(InputError, match="is damaged"):
        fetch(offer(server, whole[: len(whole) // 2], md5=""), tmp_path)
    assert not (tmp_path / "Speech").exists()


def test_a_member_that_is_the_folder_itself_is_unpacked(server, tmp_path):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        folder = tarfile.TarInfo("./")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(folder)
        member = tarfile.TarInfo("./Speech/dev/a")
        member.size = 5
        archive.addfile(member, io.BytesIO(b"sound"))
    fetch(offer(server, content.getvalue(), md5=""), tmp_path)
    assert (tmp_path / "Speech/dev/a").read_bytes() == b"sound"


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [(6, 1, "encrypted"), (8, 99, "compression")],
    ids=["encrypted", "unknown method"],
)
def test_archives_that_python_cannot_unpack_say_what_to_do(tmp_path, place, value, message):
    content = bytearray(zip_of({"Speech/dev/a": b"sound" * 50}))
    content[place] = value
    central = content.find(b"PK\x01\x02")
    content[central + place + 2] = value
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(InputError, match=f"{message}.*by another program"):
        download._unpack(tmp_path / "x.zip", tmp_path, False)
    assert [path.name for path in tmp_path.iterdir()] == ["x.zip"]


def test_a_flipped_byte_is_found_by_the_checksum_of_gzip(tmp_path):
    whole = bytearray(tar_of({"Speech/dev/a": np.random.default_rng(1).bytes(20_000)}))
    whole[len(whole) // 2] ^= 1
    (tmp_path / "x.tar.gz").write_bytes(whole)
    with pytest.raises(InputError, match="is damaged"):
        download._unpack(tmp_path / "x.tar.gz", tmp_path, False)
    assert [path.name for path in tmp_path.iterdir()] == ["x.tar.gz"]


def test_packed_speakers_inside_are_unpacked_too(server, tmp_path):
    inner = tar_of({"train/S0002/a.wav": b"sound"})
    archive = offer(server, tar_of({"Speech/wav/S0002.tar.gz": inner}), unpacks_to="Speech/wav")
    fetch(archive, tmp_path)
    assert (tmp_path / "Speech/wav/train/S0002/a.wav").read_bytes() == b"sound"


def test_no_internet_is_said_with_what_to_do(tmp_path, monkeypatch, capsys):
    archive = Archive(("http://127.0.0.1:9/x.zip",), "", 0, "x", "", "")
    monkeypatch.setitem(ARCHIVES, "nowhere", archive)
    assert main(["download", "nowhere", "--folder", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "cannot download x.zip" in error
    assert f"put it at {tmp_path / 'x.zip'}" in error


def test_the_list_and_names_that_there_are_not(capsys):
    assert main(["download"]) == 0
    out = capsys.readouterr().out
    assert "librispeech-dev-clean" in out
    assert main(["download", "librispeach-dev-clean"]) == 2
    assert "did you mean 'librispeech-dev-clean'" in capsys.readouterr().err


def test_published_archives_have_checksums_of_the_right_form():
    for name, archive in ARCHIVES.items():
        assert archive.md5 == "" if name == "vctk-0.80" else len(bytes.fromhex(archive.md5)) == 16
        assert all(url.startswith("https://") for url in archive.urls)
        assert archive.name.endswith((".zip", ".tar.gz", ".tgz"))
