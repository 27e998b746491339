"""Leases never promise more than the machine has, and say what they promise to CUDA and to threads."""

import subprocess
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greyhound.errors import StudyError
from greyhound.executors import devices
from greyhound.executors.devices import MAX_AUTO_WORKERS, Lease, environment, plan, visible_gpus

FOUR_GPUS = ["0", "1", "2", "3"]


def gpus_of(leases):
    return [lease.gpus for lease in leases]


def test_auto_gives_every_gpu_a_worker():
    assert gpus_of(plan("auto", 1, range(8), FOUR_GPUS)) == [("0",), ("1",), ("2",), ("3",)]


def test_fraction_shares_a_gpu_and_spreads_first():
    assert gpus_of(plan("auto", 0.5, range(8), ["0", "1"])) == [("0",), ("1",), ("0",), ("1",)]
    assert gpus_of(plan(2, 0.5, range(8), ["0", "1"])) == [("0",), ("1",)]
    assert len(plan("auto", 1 / 3, range(8), ["0"])) == 3


def test_several_gpus_for_each_trial():
    assert gpus_of(plan("auto", 2, range(8), FOUR_GPUS)) == [("0", "1"), ("2", "3")]
    assert gpus_of(plan("auto", 3, range(8), FOUR_GPUS)) == [("0", "1", "2")]


def test_names_of_gpus_are_kept():
    assert plan("auto", 1, range(2), ["MIG-a", "GPU-b"])[1].device == "GPU GPU-b"


def test_without_gpus_a_worker_a_core_up_to_a_limit():
    assert plan("auto", 1, range(3), []) == [Lease(f"worker-{core}", (), (core,), threads=1) for core in range(3)]
    assert len(plan("auto", 1, range(64), [])) == MAX_AUTO_WORKERS
    assert len(plan("auto", 1, range(64), [], cores_per_trial=16)) == 4


def test_no_gpus_where_none_are_wanted():
    assert gpus_of(plan("auto", 0, range(2), FOUR_GPUS)) == [(), ()]


def test_cores_are_split_evenly_and_contiguously():
    assert [lease.cores for lease in plan(3, 0, range(8), [])] == [(0, 1), (2, 3, 4), (5, 6, 7)]
    assert [lease.device for lease in plan(2, 0, [1, 4, 5], [])] == ["core 1", "cores 4-5"]


def test_more_workers_than_cores_share_them():
    assert plan(3, 0, range(2), []) == [Lease(f"worker-{at}", (), (), threads=1) for at in range(3)]


def test_cores_per_trial_are_given_exactly():
    assert [lease.cores for lease in plan(2, 0, range(8), [], 3)] == [(0, 1, 2), (3, 4, 5)]
    shared = plan(3, 0, range(8), [], 3)
    assert [(lease.cores, lease.threads) for lease in shared] == [((), 3)] * 3


@pytest.mark.parametrize(
    ("workers", "gpus_per_trial", "cores_per_trial", "says"),
    [
        (5, 1, None, r"write workers=4 or gpus_per_trial=0\.5"),
        (9, 1, None, r"gpus_per_trial=0\.333"),
        (3, 2, None, r"write workers=2 or gpus_per_trial=1"),
        ("auto", 8, None, "more than the GPUs that there are: 0, 1, 2, 3"),
        ("auto", 1.5, None, "gpus_per_trial: write a whole number"),
        ("auto", -1, None, "gpus_per_trial: write a whole number"),
        ("auto", float("nan"), None, "gpus_per_trial: write a whole number"),
        (0, 1, None, "workers: write 'auto' or a whole number from 1"),
        (2.5, 1, None, r"workers: write 'auto' or a whole number from 1; got 2\.5"),
        (None, 1, None, "workers: write 'auto' or a whole number from 1; got None"),
        ("all", 1, None, "workers: write 'auto' or a whole number from 1; got 'all'"),
        (1, 1, 9, "cores_per_trial: write a whole number from 1 to 8"),
        (1, "1", None, "gpus_per_trial: write a whole number"),
        (1, 1, 1.5, "cores_per_trial: write a whole number from 1 to 8"),
        (1, 1, 0, "cores_per_trial: write a whole number from 1 to 8"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(workers, gpus_per_trial, cores_per_trial, says):
    with pytest.raises(StudyError, match=says):
        plan(workers, gpus_per_trial, range(8), FOUR_GPUS, cores_per_trial)


def test_more_gpus_than_a_machine_without_any_has_are_refused():
    with pytest.raises(StudyError, match=r"more than the GPUs that there are: none; write less, or 0"):
        plan("auto", 2, range(8), [])


amounts = st.one_of(st.just(0), st.integers(1, 8), st.floats(0.05, 1.0), st.sampled_from([1 / 3, 1 / 6, 1 / 7, 0.1]))


@given(
    workers=st.one_of(st.just("auto"), st.integers(1, 40)),
    gpus_per_trial=amounts,
    cores=st.integers(1, 70),
    gpus=st.integers(0, 8),
    cores_per_trial=st.one_of(st.none(), st.integers(1, 16)),
)
def test_leases_never_exceed_what_there_is(workers, gpus_per_trial, cores, gpus, cores_per_trial):
    names = [f"GPU-{index}" for index in range(gpus)]
    try:
        leases = plan(workers, gpus_per_trial, range(cores), names, cores_per_trial)
    except StudyError:
        return
    assert len(leases) == workers or (workers == "auto" and leases)
    assert len({lease.name for lease in leases}) == len(leases)
    used = Counter(gpu for lease in leases for gpu in lease.gpus)
    assert set(used) <= set(names)
    assert all(count * min(gpus_per_trial, 1) <= 1 + 1e-6 for count in used.values())
    assert all(len(lease.gpus) == (max(1, gpus_per_trial) if used else 0) for lease in leases)
    held = [core for lease in leases for core in lease.cores]
    assert len(set(held)) == len(held)
    assert set(held) <= set(range(cores))
    assert all(lease.threads >= 1 for lease in leases)


@given(workers=st.integers(1, 60), gpus=st.integers(1, 8))
def test_the_fraction_that_a_refusal_names_fits(workers, gpus):
    names = [str(index) for index in range(gpus)]
    if workers <= gpus:
        return
    with pytest.raises(StudyError, match="gpus_per_trial=") as refusal:
        plan(workers, 1, range(4), names)
    fraction = float(str(refusal.value).rsplit("gpus_per_trial=", 1)[1].rstrip("."))
    assert len(plan(workers, fraction, range(4), names)) == workers


@pytest.mark.parametrize(
    ("allowed", "expected"),
    [
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("0", ["0"]),
        ("2,0", ["2", "0"]),
        (" 1 , 3 ", ["1", "3"]),
        ("1,-1,2", ["1"]),
        ("1,1", ["1"]),
        ("GPU-8932f937,MIG-GPU-1/2/0", ["GPU-8932f937", "MIG-GPU-1/2/0"]),
    ],
)
def test_cuda_visible_devices_is_honoured(monkeypatch, allowed, expected):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", allowed)
    assert visible_gpus() == expected


def test_nvidia_smi_is_asked_otherwise(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    answers = {"stdout": "0\n1\n"}
    monkeypatch.setattr(devices.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, **answers))
    assert visible_gpus() == ["0", "1"]


@pytest.mark.parametrize("trouble", [FileNotFoundError(), subprocess.CalledProcessError(9, "nvidia-smi")])
def test_no_gpus_where_nvidia_smi_finds_none(monkeypatch, trouble):
    def fails(*_, **__):
        raise trouble

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(devices.subprocess, "run", fails)
    assert visible_gpus() == []


def test_environment_says_the_lease_to_cuda_and_to_thread_pools(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    variables = environment(Lease("worker-1", ("5",), (2, 3), threads=2))
    assert variables["CUDA_VISIBLE_DEVICES"] == "5"
    assert variables["OMP_NUM_THREADS"] == variables["MKL_NUM_THREADS"] == "2"
    assert variables["GREYHOUND_WORKER"] == "worker-1"
    assert "CUDA_DEVICE_ORDER" not in variables
    assert environment(Lease("worker-1", (), (), threads=1))["CUDA_VISIBLE_DEVICES"] == ""


def test_gpus_found_by_nvidia_smi_are_counted_as_it_does(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert environment(Lease("worker-0", ("1",), (), threads=1))["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
