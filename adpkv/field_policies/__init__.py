"""What the field did before the contract, as policies that replace one rule or one phase.

`assembly(experiment)` makes the rank programs that the experiment's `policy:` asks for.
"""

from adpkv.field_policies.catalogue import POLICIES, assembly

__all__ = ["POLICIES", "assembly"]
