"""The example for Slurm asks for jobs that are what the guide says."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

jobqueue = pytest.importorskip("dask_jobqueue")
EXAMPLE = Path(__file__).parents[2] / "scripts" / "slurm_batch.py"


def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("slurm_batch", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_job_script_starts_workers_of_one_thread_that_hand_back_their_slides() -> None:
    module = example()
    with module.slurm_cluster() as cluster:
        script = cluster.job_script()
    lines = script.splitlines()
    assert lines[0].startswith("#!")
    assert "#SBATCH -t 04:00:00" in lines
    assert f"#SBATCH --cpus-per-task={module.CORES}" in lines
    assert any(line.startswith("#SBATCH --mem=") for line in lines)
    assert "export OMP_NUM_THREADS=1" in lines
    worker = lines[-1]
    assert Path(worker.split()[0]).name == Path(sys.executable).name
    assert "distributed.cli.dask_worker tcp://" in worker
    assert f"--nworkers {module.CORES}" in worker
    assert "--nthreads 1" in worker
    assert "--lifetime 225m" in worker
    assert worker.endswith("--memory-limit 0")  # the last one counts
