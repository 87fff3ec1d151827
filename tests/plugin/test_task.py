"""Work in a thread: what it tells the window, and how it ends."""

import subprocess
import sys
import threading

import pytest
from qtpy.compat import isalive
from qtpy.QtCore import QObject

from napari_brainseg.core.progress import Cancelled, Progress
from napari_brainseg.plugin.task import Task, Tasks

SIGNALS = ("progressed", "sent", "returned", "failed", "ended")
STEP = Progress("segmenting", 1, 2)


@pytest.fixture
def heard():
    """Listen to every signal of a task: a list of (signal, value, whether it arrived on the main thread)."""

    def listen(task: Task) -> list[tuple]:
        events: list[tuple] = []
        for name in SIGNALS:

            def slot(*values: object, name: str = name) -> None:
                events.append((name, *values, threading.current_thread() is threading.main_thread()))

            getattr(task, name).connect(slot)
        return events

    return listen


def run(qtbot, task: Task) -> None:
    with qtbot.waitSignal(task.ended, timeout=10_000):
        task.start()


def test_every_signal_arrives_on_the_main_thread_in_order(qtbot, heard):
    threads = []

    def work(task: Task) -> str:
        threads.append(threading.current_thread())
        task.report(STEP)
        task.send("half")
        return "whole"

    task = Task(work)
    events = heard(task)
    run(qtbot, task)

    assert events == [
        ("progressed", STEP, True),
        ("sent", "half", True),
        ("returned", "whole", True),
        ("ended", True),
    ]
    assert threads[0] is not threading.main_thread()


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), ValueError("NaN"), KeyError("name")])
def test_an_exception_arrives_as_failed_and_the_task_ends(qtbot, heard, error):
    def work(task: Task) -> None:
        raise error

    task = Task(work)
    events = heard(task)
    run(qtbot, task)

    assert events == [("failed", error, True), ("ended", True)]


@pytest.mark.parametrize("tell", [lambda task: task.report(STEP), lambda task: task.send(1)], ids=["report", "send"])
def test_stop_raises_cancelled_inside_at_the_next_word(qtbot, heard, tell):
    started, cancelled = threading.Event(), []

    def work(task: Task) -> str:
        started.set()
        while not task.stopping:
            pass
        try:
            tell(task)
        except Cancelled as end:
            cancelled.append(end)
            raise
        return "went on"

    task = Task(work)
    events = heard(task)
    task.start()
    assert started.wait(10)
    with qtbot.waitSignal(task.ended, timeout=10_000):
        task.stop()

    assert len(cancelled) == 1
    assert events == [("ended", True)]
    assert task.stopping


def test_stop_waits_until_the_thread_is_gone():
    started = threading.Event()

    def work(task: Task) -> None:
        started.set()
        while True:
            task.report(STEP)

    task = Task(work).start()
    assert started.wait(10)
    task.stop(wait=10)

    assert not task._thread.is_alive()


def test_work_ends_quietly_once_the_window_is_gone(qtbot, qapp):
    gone, ended = threading.Event(), []

    def work(task: Task) -> None:
        assert gone.wait(10)
        try:
            for _ in range(1000):
                task.report(STEP)
        finally:
            ended.append(task.stopping)

    task = Task(work).start()
    with qtbot.waitSignal(task.destroyed):
        task.deleteLater()
    gone.set()
    task._thread.join(10)

    assert ended == [True]


def test_quitting_stops_what_is_running_and_the_process_ends_well():
    script = """
import time
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication
from napari_brainseg.core.progress import Progress
from napari_brainseg.plugin.task import Task, Tasks

def work(task):
    while True:
        time.sleep(0.01)
        task.report(Progress("working", 1, 2))

application = QApplication([])
task = Task(work).start()
QTimer.singleShot(100, application.quit)
application.exec()
"""
    done = subprocess.run([sys.executable, "-c", script], timeout=60, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_only_the_latest_task_of_a_name_is_listened_to(qtbot):
    owner, gate, heard, over = QObject(), threading.Event(), [], []
    tasks = Tasks(owner)
    tasks.begin("work", lambda _: gate.wait(10) and "former", over.append, returned=heard.append)
    former = tasks["work"]
    tasks.begin("work", lambda _: "latter", over.append, returned=heard.append)
    gate.set()
    qtbot.waitUntil(lambda: not tasks and not former._thread.is_alive(), timeout=10_000)
    qtbot.wait(50)

    assert former.stopping
    assert heard == ["latter"]
    assert len(over) == 1


def test_closed_work_is_stopped_and_says_nothing_more(qtbot):
    owner, gate, heard = QObject(), threading.Event(), []
    tasks = Tasks(owner)
    tasks.begin("work", lambda _: gate.wait(10), heard.append, returned=heard.append)
    task = tasks["work"]
    tasks.close()
    gate.set()
    task._thread.join(10)
    qtbot.wait(50)

    assert task.stopping
    assert not tasks
    assert not heard


def test_a_task_outlives_its_owner_and_is_gone_once_its_thread_has_ended(qtbot):
    """Else the owner would destroy it under the thread that emits, and the process would crash."""
    owner, gate, heard = QObject(), threading.Event(), []
    tasks = Tasks(owner)
    tasks.begin("work", lambda _: gate.wait(10), heard.append, returned=heard.append)
    task = tasks["work"]
    with qtbot.waitSignal(owner.destroyed):
        owner.deleteLater()
    assert isalive(task)
    assert task.stopping

    gate.set()
    qtbot.waitUntil(lambda: not isalive(task), timeout=10_000)
    assert not task._thread.is_alive()
    assert not heard
