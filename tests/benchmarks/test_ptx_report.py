"""The report of registers: what it reads of ptxas, and, where there is a toolkit, all of it."""

import json
import shutil
import sys

import pytest

from benchmarks import ptx_report
from taichi_pynerf.errors import BackendError

LOG = """\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'encode_c80_0_kernel_1_range_for' for 'sm_90'
ptxas info    : Function properties for encode_c80_0_kernel_1_range_for
    16 bytes stack frame, 8 bytes spill stores, 4 bytes spill loads
ptxas info    : Used 57 registers, used 0 barriers
ptxas info    : Compiling entry function 'encode_c80_0_kernel_0_serial' for 'sm_90'
ptxas info    : Function properties for encode_c80_0_kernel_0_serial
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 16 registers, used 0 barriers
ptxas info    : Compiling entry function 'runtime_initialize' for 'sm_90'
ptxas info    : Function properties for runtime_initialize
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 22 registers, used 0 barriers
"""


@pytest.mark.parametrize(("arch", "threads"), [("sm_90", 2048), ("sm_86", 1536)])
def test_what_ptxas_says_of_our_kernels(arch, threads):
    (row,) = ptx_report.usage_of(LOG, arch)
    # 57 registers are handed out as 64: 8 blocks of 128 threads.
    assert row == {
        "kernel": "encode", "part": "range_for 1", "registers": 57, "stack": 16,
        "spill_stores": 8, "spill_loads": 4, "occupancy": round(1024 / threads, 3),
    }  # fmt: skip
    assert "| encode | range_for 1 | 57 |" in ptx_report.markdown([row], arch)


def test_without_ptxas_one_line_says_so(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(BackendError, match="there is no ptxas"):
        ptx_report.main([])


@pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("ptxas") is None or shutil.which("cc") is None,
    reason="needs Linux, a C compiler and ptxas",
)
def test_every_kernel_compiles_and_spills_nothing(tmp_path, capsys):
    ptx_report.main(["--arch", "sm_86", "--output_dir", str(tmp_path)])
    rows = json.loads((tmp_path / "ptx.json").read_text())
    assert {"count", "emit", "encode", "composite", "composite_adjoint", "sparse_rmsprop"} <= {
        row["kernel"] for row in rows
    }
    assert all(row["spill_stores"] == row["spill_loads"] == 0 for row in rows)
    assert (tmp_path / "ptx.md").read_text() == capsys.readouterr().out
