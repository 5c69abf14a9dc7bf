"""Configuration: what a user types becomes built objects. The only reader of config keys.

- ``schema``: the folder of config files, the types of keys, nodes for third-party components.
- ``folders``: a new folder for each run and sweep.
- ``messages``: Hydra's errors as one clear line.
- ``values``: a composed config as plain values.
- ``validation``: checks of values that need no torch.
- ``build``: the objects that a config names.
- ``train_run``: one run, from config to result, new or resumed.
"""
