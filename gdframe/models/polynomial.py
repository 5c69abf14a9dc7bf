"""Polynomial regression: a linear model of all products of features up to a degree."""

from __future__ import annotations

from itertools import combinations_with_replacement
from math import comb

import torch
from torch import Tensor

from gdframe.errors import InputError, bad_value, counted, require_memory
from gdframe.models.linear_model import LinearModel
from gdframe.registry import MODELS

MOST_TERMS = 100_000


@MODELS.register("polynomial")
class Polynomial(LinearModel):
    """Linear in all monomials of degree 1 to ``degree``, with or without products of features.

    Args:
        features: number of features.
        outputs: number of outputs.
        degree: highest degree, at least 1.
        interactions: whether products of different features are terms too.
        bias: whether there is a bias.

    Raises:
        UserError: the degree is below 1, or there would be more than 100,000 terms.

    Example:
        >>> Polynomial(3, 1, degree=2).weight.shape  # x1, x2, x3 and their six products
        torch.Size([1, 9])
    """

    factors: Tensor

    def __init__(
        self,
        features: int,
        outputs: int = 1,
        *,
        degree: int = 2,
        interactions: bool = True,
        bias: bool = True,
    ) -> None:
        if degree < 1:
            raise bad_value(f"degree={degree}", "a whole number of at least 1")
        terms = features * degree
        if interactions and terms <= MOST_TERMS:  # else there are even more
            terms = comb(features + degree, degree) - 1
        if terms > MOST_TERMS:
            raise InputError(
                f"degree={degree}",
                f"makes more than {MOST_TERMS:,} terms of {counted(features, 'feature')}; lower "
                "it, or set model.interactions=false",
            )
        # as numbers of Python, of which each takes 8 bytes in a list, then as a tensor
        require_memory(f"model.degree={degree} of {features} features", 24.0 * terms * degree)
        products = [
            product
            for power in range(1, degree + 1)
            for product in (
                combinations_with_replacement(range(features), power)
                if interactions
                else ((i,) * power for i in range(features))
            )
        ]
        # each term is a product of `degree` factors; index `features` stands for the factor 1
        padded = [product + (features,) * (degree - len(product)) for product in products]
        super().__init__(len(padded), outputs, bias=bias)
        factors = torch.tensor(padded).reshape(-1, degree)
        self.register_buffer("factors", factors, persistent=False)

    def design(self, features: Tensor) -> Tensor:
        """Return the monomials: (rows, features) -> (rows, terms)."""
        ones = torch.ones_like(features[:, :1])
        padded = torch.cat([features, ones], dim=1)
        terms = padded[:, self.factors[:, 0]]  # (rows, terms)
        for factor in self.factors.T[1:]:
            terms = terms * padded[:, factor]
        return terms
