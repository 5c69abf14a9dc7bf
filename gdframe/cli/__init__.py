"""What the command line does besides training: each verb as a function, and its words."""
