"""A Django site that caches its rows: the pattern of the example, on whichever cache the environment names.

`python -m qsets` serves one request of `/` for each line of input, and prints what the site logs, then `done`.
"""
