"""The world at the rim: media, media servers, models, database and queue."""

import os

# From 1.29 on, onnxruntime tells its maker of each process and model, and keeps a number of the
# device for it; huggingface_hub says which libraries ask. Both look before they are imported, and
# nothing leaves this machine that no setting asks for.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
