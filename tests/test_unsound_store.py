"""A store on a file system that lacks what the ledger relies on: the command of a sweep ends in one line at once.

The kernel's own file systems do all of it, so the C library stands in: below the store it refuses as buckets do.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REFUSES = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int rename(const char *from, const char *to) {
    int (*real)(const char *, const char *) = dlsym(RTLD_NEXT, "rename");
    const char *store = getenv("NO_RENAME_OVER");
    struct stat there;
    if (store && !strncmp(to, store, strlen(store)) && !stat(to, &there)) { errno = ENOTSUP; return -1; }
    return real(from, to);
}

int flock(int file, int operation) {
    int (*real)(int, int) = dlsym(RTLD_NEXT, "flock");
    if (getenv("NO_LOCKS")) { errno = ENOLCK; return -1; }
    return real(file, operation);
}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    folder = tmp_path_factory.mktemp("library")
    (folder / "refuses.c").write_text(REFUSES)
    made = subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", folder / "refuses.so", folder / "refuses.c", "-ldl"], check=False
    )
    if made.returncode:
        pytest.skip("the C compiler makes no library here")
    return folder / "refuses.so"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lacks", "told"),
    [
        ({"NO_RENAME_OVER": "1"}, "Operation not supported"),
        ({"NO_LOCKS": "1"}, "it cannot lock files: No locks available"),
    ],
    ids=["no rename over", "no locks"],
)
def test_a_sweep_refuses_a_file_system_that_does_not_do_what_the_ledger_relies_on(
    library: Path, tmp_path: Path, lacks: dict[str, str], told: str
) -> None:
    store = tmp_path / "store"
    lacks = {name: str(store) for name in lacks}
    passed_on = {name: value for name, value in os.environ.items() if name != "SER_DATA"}
    command = [sys.executable, "-m", "orchestrator.sweep", "baseline", "--store", str(store)]
    done = subprocess.run(
        command, env={**passed_on, **lacks, "LD_PRELOAD": str(library)}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(
        f"error: store '{store}' cannot be used: {told}; mount it for writing, on a file system that"
    )
    assert list(store.iterdir()) == []
