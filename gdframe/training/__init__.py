"""How runs are trained: the loop, and what it needs beside it."""
