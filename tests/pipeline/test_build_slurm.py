"""SLURM: the job script that is generated, and a build by way of a ``sbatch`` that runs it right here."""

from __future__ import annotations

import os
import signal
import stat
import sys

import pytest

from pipeline.build import build
from pipeline.build.schedulers import slurm_cluster, threads_per_worker
from pipeline.catalog import Catalog
from pipeline.errors import UserError
from pipeline.params import BuildParams, FlowParams
from pipeline.store import FlowStore

pytestmark = pytest.mark.slow

pytest.importorskip("dask_jobqueue")

HERE = {"scheduler": "slurm", "slurm": {"interface": "lo", "memory": "2GB"}}

SBATCH = """#!{python}
import pathlib, subprocess, sys
job = subprocess.Popen(["bash", sys.argv[1]], start_new_session=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
with open({jobs!r}, "a") as file:
    print(job.pid, file=file)
print("Submitted batch job", job.pid)
"""

SCANCEL = """#!{python}
import os, signal, sys
for job in sys.argv[1:]:
    try:
        os.killpg(int(job), signal.SIGTERM)
    except ProcessLookupError:
        pass
"""


def build_params(**changes):
    document = {**HERE, **changes, "slurm": {**HERE["slurm"], **changes.get("slurm", {})}}
    return BuildParams.model_validate(document)


def script(**slurm):
    with slurm_cluster(build_params(slurm=slurm)) as cluster:
        return cluster.job_script().splitlines()


def test_the_job_script_asks_for_what_the_parameters_say():
    lines = script(
        queue="gpu",
        account="films",
        cores=8,
        memory="32GB",
        walltime="12:30:00",
        gpus=2,
        directives=["--constraint=a100"],
        prologue=["module load cuda"],
        python="/opt/python3",
    )
    for directive in (
        *("-p gpu", "-A films", "--cpus-per-task=8", "--mem=30G", "-t 12:30:00"),  # 32 GB are 30 GiB
        *("--gres=gpu:2", "--constraint=a100", "-J ta2net-flows"),
    ):
        assert f"#SBATCH {directive}" in lines
    assert "module load cuda" in lines
    worker = next(line for line in lines if "dask_worker" in line)
    assert lines.index("module load cuda") < lines.index(worker)
    assert worker.startswith("/opt/python3 -m ")
    # two rows at a time, a GPU each; memory is watched row by row
    assert "--nthreads 2 " in worker
    assert worker.count("--memory-limit 0") == 1


def test_one_row_at_a_time_without_gpus():
    worker = next(line for line in script(cores=6) if "dask_worker" in line)
    assert "--nthreads 1 " in worker
    assert worker.startswith(sys.executable)
    assert threads_per_worker(build_params(slurm={"cores": 6}), FlowParams(), 100) == 6
    gpus = build_params(slurm={"cores": 6, "gpus": 2})
    assert threads_per_worker(gpus, FlowParams(model="gmflow"), 100) == 3


def test_mistakes_are_said(builds, catalog, tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"build\.workers: set the number of SLURM jobs"):
        build(catalog, builds.make_params(tmp_path, build__scheduler="slurm", build__workers=0))
    with pytest.raises(UserError, match=r"build\.slurm: .*no-such-net"):
        slurm_cluster(build_params(slurm={"interface": "no-such-net"}))
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    with pytest.raises(UserError, match=r"pip install 'ta2net\[slurm\]'"):
        slurm_cluster(build_params())


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """``sbatch`` and ``scancel`` that run jobs as processes of this machine; the jobs' process ids."""
    jobs = tmp_path / "jobs"
    (tmp_path / "bin").mkdir()
    for name, code in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        command = tmp_path / "bin" / name
        command.write_text(code.format(python=sys.executable, jobs=str(jobs)))
        command.chmod(command.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    yield lambda: [int(line) for line in jobs.read_text().split()]
    for pid in [int(line) for line in jobs.read_text().split()] if jobs.exists() else []:
        try:
            os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def test_a_build_by_slurm_jobs(builds, catalog, tmp_path, slurm):
    params = builds.make_params(
        tmp_path, build__scheduler="slurm", build__workers=1, build__slurm=HERE["slurm"]
    )
    said = []
    summary = build(Catalog(catalog.rows[:2]), params, say=said.append)
    assert builds.counts(summary) == (2, 0, 0, 0, 0)
    assert FlowStore(params.store.path).validate(deep=True) == []
    assert len(slurm()) == 1
    assert said[0].startswith("1 SLURM jobs requested")
    assert said[1].startswith("Dask dashboard: http://127.0.0.1:")
