"""Makes model directories from published weights: needs PyTorch, and only here.

``spec``, ``pairs``, ``retrieval``, ``description`` and ``directory`` need nothing that running
Moodreel does not; every other module imports PyTorch, transformers or onnx, and whoever imports it
has seen first that they are there (``extra.require_extra``).
"""
