"""Store the pair; the optimum is computed when it is read."""

from typing import ClassVar, Literal

from miras.gate import Use
from miras.optimizer import Optimizer


class ClosedForm(Optimizer):
    """y = argmin_z sum_i s(k_i, q) |v_i - z|^2 = sum_i s_i v_i / sum_i s_i (Nadaraya-Watson).

    Source: MIRAS (arXiv 2504.13173), section 4.1; test-time regression (arXiv 2501.12352).
    """

    kind: Literal["closed_form"] = "closed_form"
    stores_pairs: ClassVar[bool] = True

    def uses(self) -> list[Use]:
        return []
