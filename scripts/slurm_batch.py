"""Run `pathseg batch` on workers that are jobs of Slurm: python slurm_batch.py SLIDES OUT PROMPT.

Needs `pip install "napari-pathseg[slurm]"`. Slides and results lie on a disk that all nodes see.
For other queues take another class of dask_jobqueue: PBSCluster, SGECluster, LSFCluster.
"""

from __future__ import annotations

import subprocess
import sys

from dask_jobqueue import SLURMCluster

CORES, MEMORY = 8, "16GB"  # of a job: one slide at a time for each core, 2 GB each
MOST_JOBS = 50
WALL_TIME = "04:00:00"
LIFETIME = ["--lifetime", "225m", "--lifetime-stagger", "5m"]  # ends before the job does


def slurm_cluster() -> SLURMCluster:
    """A scheduler here, and jobs of one worker for each core; none is asked for yet."""
    return SLURMCluster(
        cores=CORES,
        processes=CORES,
        memory=MEMORY,
        walltime=WALL_TIME,
        # Slurm watches the memory of a job; dask would hold workers back long before.
        worker_extra_args=[*LIFETIME, "--memory-limit", "0"],
        job_script_prologue=["export OMP_NUM_THREADS=1"],
    )


def main(slides: str, out: str, prompt: str) -> int:
    """Start jobs as there is work; the exit code of the batch."""
    with slurm_cluster() as cluster:
        cluster.adapt(minimum_jobs=1, maximum_jobs=MOST_JOBS)
        command = ["pathseg", "batch", slides, "--prompt", prompt, "--out", out, "--resume"]
        return subprocess.call([*command, "--scheduler", cluster.scheduler_address])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
