"""Update rules composed from pieces of code, as text that is executed."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import strategies as st

import gdframe as gd

VALUES = ["p", "g", "v", "s"]
NUMBERS = ["h['lr']", "h['a']", "0.5", "2", "-1.5", "1", "k", "(-1.0) ** k", "math.inf",
           "len(params)", "p.ndim", "p.numel()", "(i + 1)", "1 / (1 + i)"]  # fmt: skip
UNARY = ["torch.tanh({})", "{}.abs()", "{}.sign()", "-{}", "{} ** 2", "({}.abs() + 0.1).sqrt()",
         "{}.clone()", "{}.clamp(-1, 1)", "{}.clamp(max=0.5)", "torch.relu({})", "{}.detach()",
         "torch.zeros_like({})", "1 / ({}.abs() + 1)", "{}.norm()", "{}.mean()", "{}.flip(-1)",
         "({}.square() + 1).rsqrt()", "{}.neg()", "torch.where({0} > 0, {0}, 0.1 * {0})",
         "torch.where({0} == 0, 1.0, {0})", "({} != 0).to(p.dtype)"]  # fmt: skip
BINARY = ["({} + {})", "({} - {})", "{} * {}", "{} / ({}.abs() + 1)", "torch.maximum({}, {})",
          "torch.minimum({}, {})", "torch.lerp({}, {}, 0.3)", "torch.where({0} > {1}, {0}, {1})",
          "{}.add({}, alpha=0.5)", "({} > {}) * g", "torch.addcmul({}, {}, g)"]  # fmt: skip
STATEMENTS = [
    "v.mul_({n})",
    "v.add_(g)",
    "s = {e}",
    "v = {e}",
    "g = g + {e}",
    "s.copy_(g)",
    "p.sub_(h['lr'] * g)",
    "g.mul_(0.5)",
    "v = g",
    "s = p",
    "k = k + 1",
    "k += 1",
    "v, s = s, v",
    "if p.ndim == 2: g = 2 * g",
    "if h['a'] > 0.3: g = 0.5 * g",
    "if i == 0: v = {e}",
    "v.lerp_(g, 0.1)",
    "s = v.clone()",
    "s.add_(g, alpha=0.1)",
    "v.addcmul_(g, g, value=0.1)",
    "v.data.mul_(0.9)",
    "s = torch.full_like(p, 0.3)",
]
STATES = ["torch.zeros_like(p)", "torch.ones_like(p)", "p", "p.clone()",
          "0.1 * torch.randn_like(p)", "torch.full_like(p, 0.1 * i)"]  # fmt: skip


@st.composite
def expressions(draw: Any, depth: int = 2) -> str:
    if depth == 0:
        return draw(st.sampled_from(VALUES))
    kind = draw(st.integers(0, 3))
    inner = expressions(depth - 1)
    if kind == 0:
        return draw(st.sampled_from(VALUES))
    if kind == 1:
        return "(" + draw(st.sampled_from(UNARY)).format(draw(inner)) + ")"
    if kind == 2:
        return "(" + draw(st.sampled_from(BINARY)).format(draw(inner), draw(inner)) + ")"
    return f"({draw(inner)} * {draw(st.sampled_from(NUMBERS))})"


@st.composite
def rules(draw: Any) -> str:
    """Return the text of a rule."""
    lines = [
        draw(st.sampled_from(STATEMENTS)).format(
            e=draw(expressions()), n=draw(st.sampled_from(["0.9", "h['a']", "0.5"]))
        )
        for _ in range(draw(st.integers(0, 4)))
    ]
    new = draw(
        st.sampled_from(
            [
                "p - h['lr'] * {}",
                "p.sub(h['lr'] * {})",
                "p - 0.01 * {}",
                "p",
                "p.add_({}, alpha=-h['lr'])",
            ]
        )
    ).format(draw(expressions()))
    first, second = draw(st.sampled_from(STATES)), draw(st.sampled_from(STATES))
    body = "\n".join(f"            {line}" for line in lines)
    return f"""
class Composed(gd.Optimizer):
    def __init__(self, params, lr, a=0.4):
        super().__init__(params, {{"lr": lr, "a": a}})

    @staticmethod
    def init_state(params):
        return {{
            "v": [{first} for i, p in enumerate(params)],
            "s": [{second} for i, p in enumerate(params)],
            "k": gd.counters(params),
        }}

    @staticmethod
    def update(params, grads, state, h):
        new, vs, ss, ks = [], [], [], []
        for i, (p, g) in enumerate(zip(params, grads)):
            v, s, k = state["v"][i], state["s"][i], state["k"][i]
{body}
            new.append({new})
            vs.append(v)
            ss.append(s)
            ks.append(k)
        return new, {{"v": vs, "s": ss, "k": ks}}
"""


def compiled(text: str) -> type[gd.Optimizer]:
    """Return the class that a text defines."""
    import math

    names: dict[str, Any] = {"gd": gd, "torch": torch, "math": math, "__name__": "composed_rule"}
    exec(text, names)
    rule: type[gd.Optimizer] = names["Composed"]
    return rule
