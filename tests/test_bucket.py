"""Objects in a bucket, at a real S3 server on loopback."""

import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.object_server import BUCKET, serving
from trainers.bucket import Bucket
from trainers.errors import UserError

URL = f"s3://{BUCKET}/team/store"


@pytest.mark.usefixtures("object_server")
def test_of_sixteen_who_create_one_key_at_a_time_one_wins_and_its_content_stays() -> None:
    bucket = Bucket(URL)
    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(lambda number: bucket.create("once", b"%d" % number), range(16)))
    assert won.count(True) == 1
    assert bucket.get("once") == b"%d" % won.index(True)
    assert bucket.create("once", b"%d" % won.index(True))  # heard twice, as after an answer that was lost


@pytest.mark.usefixtures("object_server")
def test_objects_are_written_over_moved_removed_and_told_by_keys_below_the_prefix(tmp_path: Path) -> None:
    bucket = Bucket(f"{URL}/plain")
    assert bucket.get("a/b") is None
    assert bucket.about("a/b") is None
    assert bucket.list("a") == {}
    for content in (b"old", b"newer", b""):
        bucket.put("a/b", content)
        assert bucket.get("a/b") == content
    bucket.put("a/b", b"12")
    before = bucket.about("a/b")
    assert before is not None
    assert before.bytes == 2
    bucket.put("a/b", b"21")
    after = bucket.about("a/b")
    assert after is not None
    assert after.version != before.version
    bucket.move("a/b", "c")
    bucket.move("a/b", "d")
    assert list(bucket.list()) == ["c"]
    assert list(Bucket(f"s3://{BUCKET}").list("team/store/plain")) == ["team/store/plain/c"]
    assert bucket.fetch("c", tmp_path / "deep" / "c")
    assert not bucket.fetch("none", tmp_path / "none")
    assert [path.name for path in tmp_path.rglob("*")] == ["deep", "c"]
    bucket.delete("c", "never was")
    assert bucket.list() == {}


@pytest.mark.slow
@pytest.mark.usefixtures("object_server")
def test_a_large_file_and_a_listing_of_more_than_a_thousand_objects_come_back_whole(tmp_path: Path) -> None:
    bucket = Bucket(f"{URL}/many")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: bucket.put(f"cells/{number:04d}", b"x"), range(1203)))
    assert sorted(bucket.list("cells")) == [f"cells/{number:04d}" for number in range(1203)]
    large = tmp_path / "large"
    large.write_bytes(bytes(range(256)) * 500_000)  # 128 MB: several parts
    bucket.send("large", large)
    assert bucket.fetch("large", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == large.read_bytes()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("s3://no-such-bucket-here/x", "there is no such bucket"),
        ("s3:///x", "must be s3://BUCKET/PREFIX"),
        ("s3://key:geheim@lab/x", "must be s3://BUCKET/PREFIX, without credentials"),
        ("ftp://host/x", "unknown scheme of a store 'ftp'; there are: gs, s3"),
    ],
)
@pytest.mark.usefixtures("object_server")
def test_a_wrong_url_is_one_line_at_once_and_tells_no_secret(url: str, told: str) -> None:
    for ask in (lambda: Bucket(url).put("x", b""), lambda: Bucket(url).get("x"), lambda: Bucket(url).list()):
        began = time.monotonic()
        with pytest.raises(UserError) as error:
            ask()
        assert told in str(error.value)
        assert "\n" not in str(error.value)
        assert "geheim" not in str(error.value)
        assert time.monotonic() - began < 30  # the patience is 300


@pytest.mark.slow
def test_wrong_and_absent_credentials_are_refused_in_one_line_without_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainers.bucket import _files

    with serving(tmp_path, monkeypatch, INITIAL_NO_AUTH_ACTION_COUNT="1"):  # the bucket's making, then nobody
        _files.cache_clear()
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "geheim")
        with pytest.raises(UserError, match=f"store {URL} refuses: .+") as error:
            Bucket(URL).put("x", b"")
        assert "geheim" not in str(error.value)
        assert "\n" not in str(error.value)
        _files.cache_clear()
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
        with pytest.raises(UserError, match="refuses: Unable to locate credentials"):
            Bucket(URL).put("x", b"")
    _files.cache_clear()


@pytest.mark.slow
def test_a_server_that_was_killed_is_waited_for_with_one_warning_and_has_what_it_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainers.bucket import _files

    with serving(tmp_path, monkeypatch) as server:
        _files.cache_clear()
        Bucket(URL).put("kept", b"yes")
        server.kill()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(UserError, match=r"has not answered for 0\.5 s: .*[Cc]onnect"):
                Bucket(URL, 0.5).get("kept")
        timer = threading.Timer(1.0, server.start)
        timer.start()
        with pytest.warns(UserWarning, match="does not answer; waiting for up to 300 s") as said:
            assert Bucket(URL).get("kept") == b"yes"
        assert sum("does not answer" in str(one.message) for one in said) == 1
        timer.join()
    _files.cache_clear()


def test_what_google_and_others_have_in_common_with_s3_holds_in_another_file_system(tmp_path: Path) -> None:
    """gs:// itself was not run: there is no server here. The same code, on fsspec's own `memory`."""
    bucket = Bucket(f"memory://{tmp_path.name}/store")
    assert bucket.get("a") is None
    assert bucket.create("a/b", b"1")
    assert not bucket.create("a/b", b"2")
    assert bucket.get("a/b") == b"1"
    bucket.move("a/b", "a/c")
    assert list(bucket.list("a")) == ["a/c"]
    (tmp_path / "file").write_bytes(b"three")
    bucket.send("a/d", tmp_path / "file")
    assert bucket.fetch("a/d", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"three"
    assert bucket.now() >= bucket.list("a")["a/d"].modified
    bucket.delete("a/c", "a/d", "a/e")
    assert bucket.list("a") == {}
