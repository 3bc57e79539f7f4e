"""taichi_pynerf: pyramidal neural radiance fields with Taichi kernels and PyTorch networks."""

import os

# torch's OpenMP workers spin after each parallel region and so take the cores from Taichi's
# workers, which run in between. The setting is read when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"
