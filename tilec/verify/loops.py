"""Floor 3: the verifiers of the Loops IR. Both raise TILE0602 at the first fault."""

from tilec.verify.kernel import verify_kernel
from tilec.verify.program import verify_program

__all__ = ["verify_kernel", "verify_program"]
