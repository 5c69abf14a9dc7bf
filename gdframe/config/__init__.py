"""Configuration: what a user types becomes built objects.

``compose`` and ``composition`` ask Hydra, ``validation`` checks, ``build`` and ``prepare``
construct, and ``train_run`` trains. ``hydra_internals`` alone uses parts of Hydra without a public
interface.
"""
