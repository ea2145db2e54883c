"""What a killed process left goes, what a living one writes stays, and all is whole."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tfdistill import files
from tfdistill.export import publish, publishing, ranker_servable
from tfdistill.export.standalone import answers
from tfdistill.files import flush_all, folder_beside, locked, written_whole
from tfdistill.scores import ScoreLookup, score_batches
from tfdistill.spec import Feature, FeatureSpec
from tfdistill.trainers import SubmodelCheckpoint, fit

ROOT = str(Path(__file__).parents[2])


class Other:
    """Another process that does something in a folder and then waits to be killed."""

    def __init__(self, code: str, *arguments: object) -> None:
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                _ALONE + textwrap.dedent(code) + "\n    print('ready', flush=True)"
                "\n    sys.stdin.read()",
                *map(str, arguments),
            ],
            env={**os.environ, "ROOT": ROOT},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout.readline() == "ready\n"

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()

    def __enter__(self) -> Other:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


# The module by its file, without the package: TensorFlow takes seconds to import.
_ALONE = """
import importlib.util, os, pathlib, sys
found = importlib.util.spec_from_file_location(
    "files", os.environ["ROOT"] + "/tfdistill/files.py")
files = importlib.util.module_from_spec(found)
found.loader.exec_module(files)
folder = pathlib.Path(sys.argv[1])
"""
LOCKED = "with files.locked(folder):"
PUBLISHING = """
with files.locked(folder), files.folder_beside(folder, ".unverified-") as staged:
    staged.joinpath("1").mkdir()
    staged.joinpath("1", "saved_model.pb").write_bytes(b"half a model")
"""
WRITING = """
with files.written_whole(folder / "scores.txt") as unfinished:
    unfinished.write_text("half")
"""


def batches(start_step):
    def batch(step):
        x = tf.random.stateless_normal([4, 2], [1, step])
        return x, x[:, :1]

    return tf.data.Dataset.counter(start_step).map(batch)


def train(directory, epochs=1, callbacks=()):
    tf.keras.utils.set_random_seed(0)
    model = tf.keras.Sequential([tf.keras.Input([2]), tf.keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    callbacks = [callback(model) for callback in callbacks]
    fit(
        model,
        batches,
        steps_per_epoch=2,
        epochs=epochs,
        callbacks=callbacks,
        backup_dir=directory,
        verbose=0,
    )
    return model


@pytest.fixture(scope="module")
def servable():
    spec = FeatureSpec((Feature("price", "numeric", "item"),))
    inputs = spec.keras_inputs()
    model = tf.keras.Model(inputs, 2.0 * inputs["price"])
    return ranker_servable(model, spec)


@pytest.fixture
def fast(monkeypatch):
    def here(task, *arguments, **options):
        return answers(*arguments), "this process"

    monkeypatch.setattr(publishing, "in_fresh_process", here)


@pytest.fixture
def synced(monkeypatch):
    """Names of all that is flushed or renamed, in order."""
    done = []
    fsync, replace, rename = os.fsync, os.replace, os.rename

    def flushed(handle):
        done.append(("flush", os.path.basename(os.readlink(f"/proc/self/fd/{handle}"))))
        fsync(handle)

    def moved(how):
        def move(source, target):
            done.append(("rename", os.path.basename(target)))
            how(source, target)

        return move

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(os, "replace", moved(replace))
    monkeypatch.setattr(os, "rename", moved(rename))
    return done


def test_a_second_writer_is_refused_until_the_first_is_dead(tmp_path):
    folder = tmp_path / "run"
    with Other(LOCKED, folder) as other:
        with pytest.raises(ValueError, match="Another run is writing to '.*run'"):
            train(folder)
        assert [path.name for path in folder.iterdir()] == [".lock"]
        other.kill()
        train(folder)
    assert tf.train.latest_checkpoint(str(folder))


def test_a_second_publisher_is_refused_and_the_first_ones_files_stay(
    servable, tmp_path, fast
):
    with Other(PUBLISHING, tmp_path) as other:
        (staged,) = tmp_path.glob(".unverified-*")
        with pytest.raises(ValueError, match="Another run is writing"):
            publish({tmp_path: servable})
        assert (staged / "1" / "saved_model.pb").exists()
        other.kill()
        assert staged.exists()
        (report,) = publish({tmp_path: servable}).values()
    assert report.version == 1 and not staged.exists()
    assert {path.name for path in tmp_path.iterdir()} == {".lock", "1"}


def test_a_folder_beside_is_removed_when_its_process_is_dead(tmp_path):
    living = "with files.folder_beside(folder, '.fetch-'):"
    with Other(living, tmp_path) as other, folder_beside(tmp_path, ".fetch-"):
        assert len(list(tmp_path.glob(".fetch-*"))) == 2
        other.kill()
        with folder_beside(tmp_path, ".fetch-"):  # mine lives, the other's is gone
            assert len(list(tmp_path.glob(".fetch-*"))) == 2
    assert not list(tmp_path.iterdir())


def test_an_unfinished_file_is_removed_when_its_process_is_dead(tmp_path):
    path = tmp_path / "scores.txt"
    with Other(WRITING, tmp_path) as other:
        with written_whole(path) as unfinished:
            unfinished.write_text("mine")
        assert path.read_text() == "mine"
        assert len(list(tmp_path.glob(".*.unfinished"))) == 1
        other.kill()
        with written_whole(path):
            pass
    assert [p.name for p in tmp_path.iterdir()] == ["scores.txt"]


def test_parts_of_a_checkpoint_that_was_never_whole_are_removed(tmp_path):
    train(tmp_path)
    (tmp_path / "step-4_temp").mkdir()
    (tmp_path / "step-4_temp" / "part-00000-of-00001.data").write_bytes(b"half")
    (tmp_path / "step-4.data-00000-of-00001").write_bytes(b"no index")
    (tmp_path / "mine.txt").write_text("a user's file")
    train(tmp_path)  # finished: nothing is trained or saved
    names = {path.name for path in tmp_path.iterdir() if path.name != ".lock"}
    assert names == {
        *("checkpoint", "step-2.index", "step-2.data-00000-of-00001", "mine.txt")
    }


def planted(tmp_path):
    """A link at every name that a writer could have used, to somebody's file."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    return victim


def test_a_planted_link_is_not_followed(tmp_path, monkeypatch):
    victim, folder = planted(tmp_path), tmp_path / "run"
    folder.mkdir()
    monkeypatch.setattr(files.secrets, "token_hex", lambda size: "known")
    link = folder / ".scores.txt.known.unfinished"
    link.symlink_to(victim)
    with pytest.raises(FileExistsError), written_whole(folder / "scores.txt") as file:
        file.write_text("overwritten")
    assert victim.read_text() == "precious" and link.is_symlink()


@pytest.mark.parametrize(
    "name", [".lock", "best.partial.weights.h5", "step-2_temp", "checkpoint.tmp"]
)
def test_no_name_of_a_training_leads_out_of_its_folder(tmp_path, name):
    victim, folder = planted(tmp_path), tmp_path / "run"
    folder.mkdir()
    (folder / name).symlink_to(victim)
    best = [
        lambda model: SubmodelCheckpoint(
            model, folder / "best.weights.h5", "loss", "min"
        )
    ]
    if name == ".lock":
        with pytest.raises(OSError):
            train(folder, callbacks=best)
    else:
        train(folder, callbacks=best)
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("prefix", [".unverified-", ".fetch-"])
def test_a_link_among_leftovers_is_left_and_its_target_too(tmp_path, prefix):
    target = tmp_path / "somewhere"
    target.mkdir()
    (target / "file").write_text("precious")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / f"{prefix}x").symlink_to(target)
    with folder_beside(folder, prefix):
        pass
    assert (target / "file").read_text() == "precious"


def test_a_planted_pipe_is_not_waited_for(tmp_path):
    program = (
        f"import os; os.mkfifo({str(tmp_path / '.a.txt.0.unfinished')!r})\n"
        "from tfdistill.files import written_whole\n"
        f"with written_whole({str(tmp_path / 'a.txt')!r}) as file: file.write_text('1')"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_lock_leaves_no_folder_that_was_made_for_it(tmp_path):
    with pytest.raises(RuntimeError), locked(tmp_path / "a" / "b"):
        raise RuntimeError
    assert not list(tmp_path.iterdir())
    with locked(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "kept").write_text("kept")
    assert (tmp_path / "a" / "b" / "kept").exists()


def test_a_locked_folder_may_hold_a_locked_one(tmp_path):
    with locked(tmp_path):
        train(tmp_path / "backup")
    with locked(tmp_path), locked(tmp_path / "backup"):
        pass


def test_a_checkpoint_is_on_the_disk_before_it_is_current(tmp_path, synced):
    train(tmp_path)
    current = synced.index(("rename", "checkpoint"))
    for name in ("step-2.index", "step-2.data-00000-of-00001"):
        assert synced.index(("flush", name)) < current
    assert ("flush", tmp_path.name) in synced[current:]


def test_weights_are_on_the_disk_before_they_are_renamed(tmp_path, synced):
    model = tf.keras.Sequential([tf.keras.Input([2]), tf.keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    best = SubmodelCheckpoint(model, tmp_path / "b.weights.h5", "loss", "min")
    model.fit(np.ones([2, 2]), np.ones([2, 1]), callbacks=[best], verbose=0)
    assert synced[:2] == [("flush", "b.weights.h5"), ("rename", "b.weights.h5")]
    assert [path.name for path in tmp_path.iterdir()] == ["b.weights.h5"]


def test_a_model_is_on_the_disk_before_a_server_sees_it(
    servable, tmp_path, fast, synced
):
    publish({tmp_path / "model": servable})
    seen = synced.index(("rename", "1"))
    written = {p.name for p in (tmp_path / "model" / "1").rglob("*")}
    assert {"saved_model.pb", "variables"} <= written
    assert written <= {name for how, name in synced[:seen] if how == "flush"}
    assert ("flush", "model") in synced[seen:]


def test_a_model_is_published_to_a_relative_path(servable, tmp_path, monkeypatch):
    """The process that loads it works somewhere else."""
    monkeypatch.chdir(tmp_path)
    asked = []

    def elsewhere(task, paths, requests):
        asked.extend(paths)
        monkeypatch.chdir("/")
        found = answers(paths, requests)
        monkeypatch.chdir(tmp_path)
        return found, "this process, elsewhere"

    monkeypatch.setattr(publishing, "in_fresh_process", elsewhere)
    (report,) = publish({"model": servable}).values()
    assert report.version == 1 and asked
    assert {path.name for path in (tmp_path / "model").iterdir()} == {".lock", "1"}


def test_flush_all_reaches_every_file_and_folder(tmp_path, synced):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").write_text("c")
    flush_all(tmp_path)
    assert {name for _, name in synced} == {"a", "b", "c", tmp_path.name}


def test_a_killed_writer_of_weights_leaves_nothing_to_the_next(tmp_path):
    path = tmp_path / "b.weights.h5"
    writing = "with files.folder_beside(folder, '.b.weights.h5-') as made:"
    writing += "\n    (made / 'b.weights.h5').write_bytes(b'half')"
    with Other(writing, tmp_path):
        assert list(tmp_path.glob(".b.weights.h5-*"))
    model = tf.keras.Sequential([tf.keras.Input([2]), tf.keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    best = SubmodelCheckpoint(model, path, "loss", "min")
    model.fit(np.ones([2, 2]), np.ones([2, 1]), callbacks=[best], verbose=0)
    best.restore()
    assert [p.name for p in tmp_path.iterdir()] == ["b.weights.h5"]
    shutil.rmtree(tmp_path)


SORTING = """
with files.folder_beside(folder, ".sorted-sorting-") as beside:
    beside.joinpath("bucket-0").write_bytes(b"half")
"""


def test_a_killed_sorting_of_a_store_leaves_nothing_to_the_next(tmp_path):
    batch = {"user": np.array([1, 2]), "item": np.array([[5, 6], [5, 7]])}
    store = score_batches(
        [batch], lambda x: x["item"] / 2, tmp_path, teacher_name="t",
        keys=["user", "item"],
    )  # fmt: skip
    (tmp_path / "sorted").mkdir()  # of a version before
    with Other(SORTING, tmp_path) as other:
        ScoreLookup(store, {"score": "half"})
        assert len(list(tmp_path.glob(".sorted-sorting-*"))) == 1  # the living one's
        other.kill()
        shutil.rmtree(tmp_path / "sorted")
        ScoreLookup(store, {"score": "half"})
    assert not list(tmp_path.glob(".sorted-sorting-*"))


def test_sorted_files_are_on_the_disk_before_they_are_renamed(tmp_path, synced):
    store = score_batches(
        [{"item": np.array([5, 6])}], lambda x: x["item"] / 2, tmp_path / "s",
        teacher_name="t", keys=["item"],
    )  # fmt: skip
    synced.clear()
    ScoreLookup(store, {"score": "half"})
    at = synced.index(("rename", "sorted"))
    kept = {p.name for p in (tmp_path / "s" / "sorted").iterdir()}
    assert {("flush", name) for name in kept} <= {*synced[:at]}


def test_a_spec_that_could_not_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    old = FeatureSpec((Feature("price", "numeric", "item"),))
    path = tmp_path / "new" / "spec.json"
    old.save(path)
    monkeypatch.setattr(FeatureSpec, "to_json", lambda self: "half of it \ud800")
    with pytest.raises(UnicodeEncodeError):
        old.save(path)
    assert FeatureSpec.load(path) == old
    assert [p.name for p in path.parent.iterdir()] == ["spec.json"]
