"""The command line: training as a Hydra application, and each verb as a function."""
