"""Configuration: what a user types becomes built objects. The only reader of config keys.

- ``schema``: where config files lie, the types of keys, and nodes for third-party components.
- ``folders``: a folder of its own for every run.
- ``messages``: what Hydra refuses, said in one clear line.
- ``values``: a composed config as plain values.
- ``validation``: values that are wrong in themselves, found without importing torch.
- ``build``: the objects a config names.
- ``train_run``: one run, from config to result, new or resumed.
"""
