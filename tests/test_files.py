"""Files: whole or not at all, without pickle, the same bytes for the same content."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest

from lazygram.files import atomic_path, read_npz, write_json, write_npz, write_text


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "result.txt"
    write_text(target, "old")

    def fail() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_errors_name_the_file_that_was_to_be_written(tmp_path: Path) -> None:
    target = tmp_path / "result.txt"
    with pytest.raises(OSError, match=r"No space .*'[^']*/result\.txt'"), atomic_path(target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # as a full disk does, without a name
    with pytest.raises(FileNotFoundError, match=r"/result\.txt'$"), atomic_path(target) as temporary:
        temporary.unlink()  # the temporary name means nothing to anybody
    assert not list(tmp_path.iterdir())


def test_write_makes_folders_keeps_the_name_and_honours_the_umask(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "table.data"
    before = os.umask(0o022)
    try:
        write_npz(target, {"x": np.arange(3)})
    finally:
        os.umask(before)
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    assert [path.name for path in target.parent.iterdir()] == ["table.data"]


def test_npz_round_trip(tmp_path: Path) -> None:
    arrays = {
        "a": np.arange(6.0).reshape(2, 3)[:, ::-1],
        "text": np.array("{}"),
        "group/empty": np.empty((0, 4), np.uint64),
        "number": 3,
    }
    write_npz(tmp_path / "one.npz", arrays)
    write_npz(tmp_path / "two.npz", arrays)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    back = read_npz(tmp_path / "one.npz")
    assert list(back) == list(arrays)
    for name, value in arrays.items():
        np.testing.assert_array_equal(back[name], value)
        assert back[name].dtype == np.asarray(value).dtype
    with np.load(tmp_path / "one.npz", allow_pickle=False) as plain:  # NumPy's own reader
        np.testing.assert_array_equal(plain["a"], arrays["a"])


def test_objects_are_neither_written_nor_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"[Oo]bject"):
        write_npz(tmp_path / "x.npz", {"x": np.array([{}], dtype=object)})
    assert not list(tmp_path.iterdir())
    np.savez(tmp_path / "evil.npz", x=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match=r"evil\.npz: not a readable"):
        read_npz(tmp_path / "evil.npz")


def test_damaged_files_are_named(tmp_path: Path) -> None:
    good = tmp_path / "good.npz"
    write_npz(good, {"x": np.arange(1000.0)})
    content = good.read_bytes()
    flipped = bytearray(content)
    flipped[600] ^= 0xFF
    for name, data in {
        "short": content[: len(content) // 2],
        "flipped": bytes(flipped),
        "empty": b"",
        "text": b"not an archive",
    }.items():
        file = tmp_path / f"{name}.npz"
        file.write_bytes(data)
        with pytest.raises(ValueError, match=rf"{name}\.npz: not a readable") as caught:
            read_npz(file)
        assert "pickle" not in str(caught.value)  # NumPy takes what it does not know for one
    np.save(tmp_path / "single.npy", np.arange(3))
    with pytest.raises(ValueError, match="single array"):
        read_npz(tmp_path / "single.npy")
    with pytest.raises(FileNotFoundError):
        read_npz(tmp_path / "missing.npz")


def test_json_is_standard(tmp_path: Path) -> None:
    value = {
        "nan": float("nan"),
        "inf": np.float64("inf"),
        "array": np.array([1.0, -np.inf]),
        "int": np.int64(3),
        "tuple": (1, True, None),
        "path": Path("a/b"),
        5: "key",
    }
    write_json(tmp_path / "x.json", value)
    assert json.loads((tmp_path / "x.json").read_text()) == {
        "nan": None,
        "inf": None,
        "array": [1.0, None],
        "int": 3,
        "tuple": [1, True, None],
        "path": "a/b",
        "5": "key",
    }
