"""adpkv: disaggregated KV-cache serving with attention data parallelism, run and simulated."""

__version__ = "0.1.0"

__all__ = ["__version__"]
