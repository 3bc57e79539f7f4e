"""Measurements behind the project's claims: `python -m benchmarks [NAME …]`; see `__main__`."""
