"""The commands besides training: each as a function, and the text it prints."""
