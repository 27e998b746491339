"""The executor for Ray clusters keeps the promises of all executors, and those about machines that come and go.

One real cluster serves them all: several raylets on this machine, of which some are killed.
"""

import importlib.util
import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import psutil
import pytest
from tests.programs import ray_me
from typer.testing import CliRunner

import greyhound as gh
from greyhound.cli.app import app
from greyhound.errors import EvaluationError, MissingExtraError, StudyError
from greyhound.executors import Ray
from greyhound.executors.station import Station
from greyhound.jobs import Answer, Job, Note, Outcome, Progress
from greyhound.study import Study
from greyhound.testing.executors import CHECKS, job, loop_on, train
from greyhound.trial import TrialState, Verdict

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")
STORE = 100 * 2**20
PROGRAM = Path(ray_me.__file__)
EXAMPLE = Path(__file__).parents[2] / "examples" / "ray_cluster.py"


@pytest.fixture(scope="module")
def cluster():
    """A cluster of one machine with two CPUs and a GPU that Ray only believes in."""
    import ray
    from ray.cluster_utils import Cluster

    soon = {"health_check_initial_delay_ms": 1000, "health_check_period_ms": 1000}
    head = {"num_cpus": 2, "num_gpus": 1, "object_store_memory": STORE, "_system_config": soon}
    before = dict(os.environ)
    os.environ |= {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    try:
        try:
            made = Cluster(initialize_head=True, head_node_args=head)
        except Exception as error:  # whatever Ray itself misses: shared memory, a port
            pytest.skip(f"Ray does not start on this machine: {error}")
        os.environ["RAY_ADDRESS"] = made.address
        ray.init(logging_level="error", log_to_driver=False)
        yield made
        ray.shutdown()
        made.shutdown()
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture
def machine(cluster):
    """Adds a machine with three CPUs; they are gone after the test."""
    added = []

    def add():
        added.append(cluster.add_node(num_cpus=3, object_store_memory=STORE))
        return added[-1]

    yield add
    for node in added:
        if node in cluster.worker_nodes:
            cluster.remove_node(node, allow_graceful=False)


def on_ray(evaluator, **options):
    return Ray(evaluator, **{"gpus_per_trial": 0, **options})


def until(held, patience_s=60.0):
    """Wait for something outside of the executor."""
    give_up = time.monotonic() + patience_s
    while not held():
        assert time.monotonic() < give_up, "what has to come comes"
        time.sleep(0.05)


def ended(process):
    """Whether a process has ended; one that only waits for its parent to notice has."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def stuck(job, channel):
    """Say by which processes it is trained, then do nothing until answered."""
    channel.send(Note(job.number, {"actor": os.getppid(), "worker": os.getpid()}))
    channel.answer(wait=True)
    return Outcome(job.number, TrialState.STOPPED)


def processes_of(loop, number):
    """The actor and the worker that train a job by `stuck`."""

    def notes():
        return [m for m in loop.seen if isinstance(m, Note) and m.number == number]

    loop.until(notes, "the training begins")
    return psutil.Process(notes()[-1].attrs["actor"]), psutil.Process(notes()[-1].attrs["worker"])


@needs_ray
@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_conformance(check, cluster):
    check(on_ray)


@needs_ray
def test_a_killed_actor_loses_its_job_once_and_is_replaced(cluster):
    with loop_on(on_ray(stuck)) as loop:
        loop.until(lambda: loop.executor.free == 2, "both workers are free")
        loop.executor.submit(job(0))
        loop.executor.submit(job(1))
        actor, worker = processes_of(loop, 0)
        actor.kill()
        loop.until_ended(0)
        assert loop.outcome(0).state is TrialState.LOST
        assert "was lost: The actor is dead because its worker process has died" in loop.outcome(0).error
        until(lambda: ended(worker))
        loop.until_free()
        loop.executor.submit(job(2))
        assert processes_of(loop, 2)[0].pid != actor.pid
        for number in (1, 2):
            loop.executor.tell(number, Answer(Verdict.STOP))
        loop.until_ended(1, 2)
        assert [loop.outcome(number).state for number in (0, 1, 2)] == [TrialState.LOST, *[TrialState.STOPPED] * 2]


@needs_ray
def test_a_killed_worker_leaves_its_actor(cluster):
    with loop_on(on_ray(stuck, workers=1)) as loop:
        loop.until_free()
        loop.executor.submit(job(0))
        actor, worker = processes_of(loop, 0)
        worker.kill()
        loop.until_ended(0)
        assert loop.outcome(0).state is TrialState.LOST
        loop.until_free()
        loop.executor.submit(job(1))
        assert processes_of(loop, 1)[0].pid == actor.pid


@needs_ray
def test_a_job_for_a_worker_that_was_killed_while_idle_ends(cluster):
    """By the worker that replaces it, or lost with it: who sends the job cannot know of the kill yet."""

    def name_worker(job, channel):
        return Outcome(job.number, TrialState.COMPLETED, {"worker": os.getpid()})

    with loop_on(on_ray(name_worker, workers=1)) as loop:
        for number in range(0, 8, 2):
            loop.run(job(number))
            assert loop.outcome(number).state is TrialState.COMPLETED
            loop.until_free()
            os.kill(int(loop.outcome(number).metrics["worker"]), signal.SIGKILL)
            time.sleep(0.02 * number)
            loop.run(job(number + 1))
            assert loop.outcome(number + 1).state in (TrialState.COMPLETED, TrialState.LOST)


@needs_ray
def test_machines_come_and_go(cluster, machine):
    """Room for three CPUs comes with a machine, goes when its raylet is killed, and comes again."""
    with pytest.warns(UserWarning, match="no machine of the Ray cluster has what one trial needs .3 CPU"):
        executor = on_ray(stuck, cores_per_trial=3)
    with loop_on(executor) as loop:
        loop.executor.messages(0.2)
        assert (executor.slots, executor.free, executor.workers[0].device) == (1, 0, "waits for room")
        node = machine()
        loop.until_free()
        executor.submit(job(0))
        _, worker = processes_of(loop, 0)
        os.kill(node.all_processes["raylet"][0].process.pid, signal.SIGKILL)
        loop.until_ended(0)
        assert loop.outcome(0).state is TrialState.LOST
        until(lambda: ended(worker))
        assert executor.free == 0
        machine()
        loop.until_free()
        executor.submit(job(1))
        processes_of(loop, 1)


@needs_ray
def test_a_study_uses_a_machine_that_joins(cluster, machine):
    with loop_on(on_ray(stuck)) as loop:
        loop.until(lambda: loop.executor.free == 2, "both workers are free")
        for number in range(2):
            loop.executor.submit(job(number))
        machine()
        for number in range(2, 5):
            loop.until_free()
            loop.executor.submit(job(number))
        assert loop.executor.slots == 5


@needs_ray
def test_workers_bounds_how_many_are_asked_for(cluster):
    with loop_on(on_ray(train, workers=1)) as loop:
        loop.until_free()
        loop.run(job(0), job(1))
        assert (loop.executor.slots, len(loop.executor.workers)) == (1, 1)


@needs_ray
def test_trials_share_a_gpu_by_the_resources_of_ray(cluster):
    def visible(job, channel):
        return Outcome(job.number, TrialState.FAILED, error=os.environ["CUDA_VISIBLE_DEVICES"])

    with loop_on(on_ray(visible, gpus_per_trial=0.5)) as loop:
        loop.until(lambda: loop.executor.free == 2, "two share the GPU")
        assert all(worker.device.endswith("GPU 0") for worker in loop.executor.workers)
        loop.run(job(0), job(1))
        assert [loop.outcome(number).error for number in (0, 1)] == ["0", "0"]


@needs_ray
def test_a_training_takes_as_many_threads_as_cores_were_asked_for(cluster):
    def threads(job, channel):
        return Outcome(job.number, TrialState.FAILED, error=os.environ["OMP_NUM_THREADS"])

    with loop_on(on_ray(threads, cores_per_trial=2)) as loop:
        loop.run(job(0))
        assert loop.outcome(0).error == "2"


@needs_ray
def test_a_training_finds_the_folder_the_path_and_the_arguments_of_its_program(cluster, tmp_path, monkeypatch):
    def look(job, channel):
        import only_there

        return Outcome(job.number, TrialState.FAILED, error=f"{os.getcwd()} {only_there.__file__} {sys.argv[1:]}")

    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "only_there.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "modules")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["tune.py", "--epochs", "3"])
    with loop_on(on_ray(look)) as loop:
        loop.run(job(0))
        assert loop.outcome(0).error == f"{tmp_path} {tmp_path / 'modules' / 'only_there.py'} ['--epochs', '3']"


@needs_ray
def test_a_worker_waits_for_the_lock_of_a_dead_machine_to_lapse(cluster):
    def patience(job, channel):
        from greyhound.executors import worker

        return Outcome(job.number, TrialState.COMPLETED, {"seconds": worker.LOCK_PATIENCE_S})

    with loop_on(on_ray(patience)) as loop:
        loop.run(job(0))
        assert loop.outcome(0).metrics["seconds"] > 90, "as long as a server of NFSv4 keeps it by default"


@needs_ray
def test_a_run_that_takes_too_long_is_ended(cluster):
    with loop_on(on_ray(stuck, trial_timeout_s=0.5)) as loop:
        loop.run(job(0))
        assert loop.outcome(0).state is TrialState.TIMED_OUT


@needs_ray
def test_reports_do_not_wait_for_the_study(cluster, tmp_path):
    def busy(job, channel):
        for step in range(1, 501):
            channel.send(Progress(job.number, step, {"loss": 1.0}))
        (tmp_path / "done").touch()
        return Outcome(job.number, TrialState.COMPLETED)

    with loop_on(on_ray(busy)) as loop:
        loop.until_free()
        loop.executor.submit(job(0))
        until((tmp_path / "done").exists)
        loop.until_ended(0)
        assert [m.step for m in loop.seen if isinstance(m, Progress)] == list(range(1, 501))


@needs_ray
def test_evaluator_that_cannot_be_loaded_is_one_clear_error(cluster):
    class Missing:
        def __reduce__(self):
            return (eval, ("__import__('not_installed_there')",))

    executor = on_ray(Missing())
    with loop_on(executor) as loop, pytest.raises(EvaluationError, match="No module named 'not_installed_there'"):
        loop.until_free()
    assert executor.slots == 0


@needs_ray
def test_machines_without_greyhound_are_one_clear_error(cluster, monkeypatch):
    """As where Ray's workers cannot import the actor."""
    here_alone = types.ModuleType("not_installed_there")
    here_alone.Station = type("Station", (Station,), {"__module__": "not_installed_there"})
    monkeypatch.setitem(sys.modules, "not_installed_there", here_alone)
    monkeypatch.setattr("greyhound.executors.ray.Station", here_alone.Station)
    executor = on_ray(train)
    with loop_on(executor) as loop, pytest.raises(EvaluationError, match=r"need Greyhound .*not_installed_there"):
        loop.until_free()
    assert executor.slots == 0


@needs_ray
def test_a_folder_that_a_machine_does_not_see_is_one_clear_error(cluster, tmp_path):
    descriptor = os.open(tmp_path, os.O_RDONLY)
    here_alone = Path(f"/proc/self/fd/{descriptor}/study/trial-0")  # a path that means something else elsewhere
    with loop_on(on_ray(train)) as loop, pytest.raises(StudyError, match="does not see the study's folder"):
        loop.run(Job(0, {"pause_s": 0.0}, seed=0, directory=here_alone))
    os.close(descriptor)


@needs_ray
def test_the_folder_of_a_study_is_left_as_it_was(cluster, tmp_path):
    with loop_on(on_ray(train)) as loop:
        loop.run(Job(0, {"pause_s": 0.0}, seed=0, max_steps=1, directory=tmp_path / "study" / "trial-0"))
        assert loop.outcome(0).state is TrialState.COMPLETED
    assert [path.name for path in (tmp_path / "study").iterdir()] == ["trial-0"]


@needs_ray
def test_worker_after_worker_taken_out_ends_the_study(cluster, tmp_path):
    def broken(trial):
        raise ValueError("always")

    space = gh.Space(x=gh.Float(0.0, 1.0))
    with pytest.raises(EvaluationError, match="every worker was taken out"):
        gh.tune(broken, space, minimize="loss", executor="ray", gpus_per_trial=0, progress=False)


@needs_ray
@pytest.mark.slow
def test_a_study_outlives_its_driver_its_actors_and_a_machine(cluster, machine, tmp_path):
    def notes():
        file = tmp_path / "notes.txt"
        return [list(map(int, line.split())) for line in file.read_text().splitlines()] if file.exists() else []

    def launch():
        before = len(notes())
        process = subprocess.Popen([sys.executable, PROGRAM], env={**os.environ, "RAY_ME_FOLDER": str(tmp_path)})
        until(lambda: len(notes()) > before or process.poll() is not None)
        return process

    node = machine()
    process = launch()
    until(lambda: len(notes()) >= 4)
    time.sleep(0.4)
    os.kill(notes()[-1][-1], signal.SIGKILL)
    os.kill(node.all_processes["raylet"][0].process.pid, signal.SIGKILL)
    time.sleep(0.4)
    process.kill()
    process.wait()
    assert launch().wait(timeout=120) == 0

    study = Study.load(tmp_path / "study.db")
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETED] * 6
    for trial in study.trials:
        assert [report.step for report in trial.reports] == list(range(1, ray_me.STEPS + 1))
        assert trial.reports[-1].metrics["score"] == pytest.approx(trial.params["x"] * ray_me.STEPS)
    assert all(start == steps for _, start, steps, _, _ in notes())
    assert any(start > 0 for _, start, *_ in notes()), "trainings go on from their checkpoints"
    assert "from 0\n" in (study.folder / "trial-00000" / "log.txt").read_text()


@needs_ray
def test_command_line(cluster, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("train.py").write_text("def train(trial):\n    return (trial.params['x'] - 1) ** 2\n")
    Path("study.yaml").write_text(
        "function: train.py:train\nspace: {x: {type: float, low: 0, high: 2}}\nminimize: loss\n"
        "executor: ray\ngpus_per_trial: 0\nbudget: 3 trials\nfinals: false\n"
    )
    result = CliRunner().invoke(app, ["run", "study.yaml", "--quiet", "--no-report"])
    assert result.exit_code == 0, result.output
    result = CliRunner().invoke(app, ["resume", "study.db", "--add", "2 trials", "--quiet", "--no-report"])
    assert result.exit_code == 0, result.output
    study = Study.load("study.db")
    assert (study.history.count(TrialState.COMPLETED), study.settings.target["executor"]) == (5, "ray")


@needs_ray
@pytest.mark.slow
def test_example(cluster, tmp_path):
    subprocess.run([sys.executable, EXAMPLE, tmp_path, "3 trials"], cwd=tmp_path, check=True)
    assert Study.load(tmp_path / "ray.db").best.metrics["accuracy"] > 0.5


@needs_ray
@pytest.mark.parametrize(
    "options", [{"workers": 0}, {"workers": "serial"}, {"gpus_per_trial": 1.5}, {"cores_per_trial": 0}]
)
def test_wrong_options_are_refused(options):
    with pytest.raises(StudyError, match=f"^{next(iter(options))}: write"):
        on_ray(train, **options)


def test_an_executor_that_is_none_is_refused():
    with pytest.raises(StudyError, match="executor: write 'local' or 'ray'; got 'slurm'"):
        gh.tune(lambda trial: 0.0, gh.Space(x=gh.Float(0, 1)), minimize="loss", executor="slurm")


def test_missing_extra_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingExtraError, match=r"pip install 'greyhound-tune\[ray\]'"):
        gh.tune(lambda trial: 0.0, gh.Space(x=gh.Float(0, 1)), minimize="loss", executor="ray", storage="study.db")
    assert not Path("study.db").exists()


def test_ray_is_loaded_by_nothing_else():
    program = "import sys, greyhound.tuning, greyhound.executors.ray; assert 'ray' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
