"""What a worker of Dask does: it makes sure that it has the versions of who asks, and makes the call.

Nothing heavy is imported: the scheduler of a cluster imports this too, and only a worker has to measure.
"""

import hashlib
import pickle
import platform
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from cbminer.errors import SettingsError

__all__ = ["differences", "make_call", "versions_here"]

# What decides the last digit of a measurement.
_PACKAGES = ("cbminer", "numpy", "numba", "scipy", "astropy", "pyarrow")
_CODE = "code of cbminer"


def versions_here() -> dict[str, str]:
    """List what decides what this process measures.

    Returns
    -------
    dict of str to str
        Versions of Python and of packages, and a hash of the modules of cbminer, as a checkout may have changed.
    """
    return _versions()


@lru_cache(maxsize=1)
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found | {_CODE: _digest_of_code()}


def _digest_of_code() -> str:
    digest = hashlib.sha256()
    root = Path(__file__).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root).as_posix()}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def differences(asked: Mapping[str, str], found: Mapping[str, str]) -> str:
    """Say what one process has otherwise than another.

    Parameters
    ----------
    asked, found : mapping of str to str
        `versions_here` of who asks and of who answers.

    Returns
    -------
    str
        Words for an error; empty where they have the same.
    """
    return ", ".join(
        f"{name} {found.get(name, 'none')} instead of {wanted}"
        for name, wanted in asked.items()
        if found.get(name) != wanted
    )


def make_call(content: bytes, asked: Mapping[str, str]) -> Any:
    """Make a call on a worker, which may have joined after the run began.

    Parameters
    ----------
    content : bytes
        Function and arguments, pickled once by who asks.
    asked : mapping of str to str
        `versions_here` of who asks.

    Returns
    -------
    object
        The result.

    Raises
    ------
    SettingsError
        If this process has other versions.
    """
    other = differences(asked, versions_here())
    if other:
        from distributed import get_worker

        msg = f"worker {get_worker().address} has {other}: give it the environment of the run, or end it"
        raise SettingsError(msg)
    _limit_algebra()
    function, arguments = pickle.loads(content)  # noqa: S301 - of the run itself, which could send any code
    return function(*arguments)


@lru_cache(maxsize=1)
def _limit_algebra() -> Any:
    """Keep the linear algebra of this process to one thread, as Dask does where it starts workers.

    For good: one thread of a process can set this, so that what one call set another could not set back.
    """
    return threadpool_limits(limits=1, user_api="blas")
