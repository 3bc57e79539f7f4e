"""Campaigns against the promise that nothing is lost; see `python -m benchmarks.reliability`."""
