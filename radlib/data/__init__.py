"""Datasets: a table of samples and how to read one."""
