"""Configuration: what a user types becomes built objects.

- ``schema``: the folder of config files, the types of keys, nodes for users' components.
- ``messages``: overrides, and Hydra's errors as one clear line.
- ``composer``: the configs of many runs, composed once for each choice of groups.
- ``values``: a composed config as plain values, and the config of a run folder.
- ``validation``: checks of values that need no torch.
- ``build``, ``prepare``, ``observers``: the objects that a config names.
- ``train_run``: one run, from config to result, new or resumed.
- ``folders``: a new folder for each run and sweep.
- ``command``: the command lines that train a run or a sweep again.
- ``hydra_internals``: the parts of Hydra without a public interface.
"""
