"""Calls that the tests of engines make; workers of Dask import them from here."""

import os
import signal
import time
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_info

from cbminer.engine_store import store_on_worker


def cube(number):
    return number**3, os.getpid()


def spectrum(number):
    return np.sin(np.arange(1000) * number), {"number": number}


def slow_cube(number):
    time.sleep(0.02)
    return cube(number)


def end_worker(_number):
    os.kill(os.getpid(), signal.SIGKILL)


def note(folder, number, bad):
    (Path(folder) / str(number)).touch()
    if number == bad:
        msg = f"call {number} went wrong"
        raise TimeoutError(msg)
    time.sleep(0.02)


def wait_for_file(path):
    while not path.exists():
        time.sleep(0.01)


def algebra_threads():
    return max(item["num_threads"] for item in threadpool_info() if item["user_api"] == "blas")


def curves_in_store(folder, digest):
    return len(store_on_worker(folder, digest))
