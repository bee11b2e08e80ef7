"""Models through onnxruntime, one file per family."""
