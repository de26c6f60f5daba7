"""radlib: the code behind the notebooks that re-run "DINOv2 evaluated on radiology benchmarks".

Data flows one way: ``data`` -> ``models`` -> ``evaluate`` -> ``report`` -> notebooks.
"""

__version__ = "0.1.0"
