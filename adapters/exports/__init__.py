"""Makes model directories from published weights: needs PyTorch, and only here.

``bridges``, ``description``, ``directory``, ``extra``, ``pairs``, ``retrieval``, ``sources``,
``spec`` and ``vocabularies`` need nothing that running Moodreel does not; every other module
imports PyTorch, transformers or onnx, and whoever imports it has seen first that they are there
(``extra.require_extra``).
"""
