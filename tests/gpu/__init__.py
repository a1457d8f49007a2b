"""Tests of the parts for GPUs. Those here run anywhere; `on_device` and `run.py` need a device."""
